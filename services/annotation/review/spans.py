"""The periods that a page can show."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from fastapi import Depends, Request

Span = Literal["day", "week", "month", "year"]
DAYS: Final[Mapping[Span, int]] = {"day": 1, "week": 7, "month": 30, "year": 365}


async def span_of(request: Request) -> Span:
    """The period that the address names; a month by default."""
    named = request.query_params.get("span")
    return next((span for span in DAYS if span == named), "month")


Period = Annotated[Span, Depends(span_of)]
