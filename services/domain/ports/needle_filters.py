"""What a list of needles may be asked for."""

from dataclasses import dataclass
from enum import StrEnum

from services.contracts.events import ErrorType


class Sort(StrEnum):
    """What comes first."""

    SCORE = "score"
    """The errors that the detector is surest of."""
    NEWEST = "newest"
    OLDEST = "oldest"


class Stage(StrEnum):
    """How far the review is, as people ask for it."""

    TODO = "todo"
    """It has candidates, and not all of them are decided."""
    OPEN = "open"
    STARTED = "started"
    DONE = "done"
    EXTENDED = "extended"
    """Done, but the shortlist has changed since."""


@dataclass(frozen=True)
class NeedleFilter:
    """Which needles; none of a field means any."""

    category: str | None = None
    error_type: ErrorType | None = None
    true_category: str | None = None
    detector: str | None = None
    drive: str | None = None
    stage: Stage | None = None
    family: str | None = None
