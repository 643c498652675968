"""The periods that a page can show."""

from collections.abc import Mapping
from typing import Final, Literal

Span = Literal["day", "week", "month", "year"]
DAYS: Final[Mapping[Span, int]] = {"day": 1, "week": 7, "month": 30, "year": 365}


def span_of(params: Mapping[str, str]) -> Span:
    """The period that a URL names; a month by default."""
    return next((span for span in DAYS if span == params.get("span")), "month")
