"""Needles counted by failure mode and family, and the protocol of the store that counts them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.events import ErrorType
from services.contracts.identity import Category
from services.contracts.needles import NeedleFound


@dataclass(frozen=True)
class FailureModeCounts:
    """The needles of one family, or those of one failure mode that are in no family yet.

    Attributes
    ----------
    family : the family's id; None for needles that are in none yet
    exemplar : the family's exemplar, or the needle with the highest score
    resolved : whether annotators have answered, and no such error occurred since
    suspects : number of needles that may be correct detections with a missing label
    trend : number of needles captured in each of 16 equal spans from the first to the last needle
        of all modes
    """

    detector: str
    category: Category
    error_type: ErrorType
    true_category: Category | None
    size: int
    exemplar: NeedleFound
    first_seen: datetime
    last_seen: datetime
    trend: tuple[int, ...]
    family: str | None = None
    resolved: bool = False
    suspects: int = 0


class FailureModes(Protocol):
    """The failure modes of the active needles."""

    async def modes(self) -> list[FailureModeCounts]:
        """All modes: unresolved ones first, then by falling size.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...
