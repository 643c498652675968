"""The times at which facts about a frame were stored, and the protocol of reading them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import FrameId


@dataclass(frozen=True)
class TruthRevision:
    """Summary of one revision of a frame's ground truth.

    Attributes
    ----------
    objects : number of annotations
    """

    revision: int
    source: str
    by: str | None
    objects: int
    at: datetime


class FrameTimes(Protocol):
    """Storage times by frame."""

    async def of(self, frame_id: FrameId) -> dict[str, datetime]:
        """When a frame's parts were written: `captured`, `ground_truth`, `predictions …`, ….

        `matched`, `needles` and `shortlisted` are the latest time of each.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def revisions(self, frame_id: FrameId) -> list[TruthRevision]:
        """The stored revisions of a frame's ground truth, latest first."""
        ...
