"""Filters and sort orders of lists of needles."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.contracts.events import ErrorType


class Sort(StrEnum):
    """The order of a list."""

    SCORE = "score"
    """The highest scores first."""
    NEWEST = "newest"
    OLDEST = "oldest"


class Stage(StrEnum):
    """The progress of reviews, as lists filter by it.

    `LISTED` is every stage but `UNLISTED`; `TODO` is `OPEN`, `STARTED` and `EXTENDED`.
    """

    LISTED = "listed"
    """It has candidates."""
    TODO = "todo"
    """It has candidates, and not all of them are decided."""
    OPEN = "open"
    """It has candidates, and none of them is decided."""
    STARTED = "started"
    DONE = "done"
    EXTENDED = "extended"
    """Done, but the shortlist has changed since."""
    UNLISTED = "unlisted"
    """It has no candidates, so there is nothing to decide."""


@dataclass(frozen=True)
class NeedleFilter:
    """Selects needles; None in a field matches any.

    Attributes
    ----------
    tag : of the needle's frame, its own or a derived one, as `key=value`
    """

    category: str | None = None
    error_type: ErrorType | None = None
    true_category: str | None = None
    detector: str | None = None
    drive: str | None = None
    stage: Stage | None = None
    family: str | None = None
    tag: str | None = None


ANY_NEEDLE: Final = NeedleFilter()
