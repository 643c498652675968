"""Which frames are shortlisted, as the broker told it: what moves a frame from H-S to S."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.contracts.events import ShortlistPublished
from services.contracts.identity import DetectorId, FrameId, NeedleId


@dataclass(frozen=True)
class Membership:
    """Whether any needle of a detector shortlists a frame; `version` rises when that may change."""

    shortlisted: bool
    version: int


NOT_SHORTLISTED = Membership(shortlisted=False, version=0)


class ShortlistStore(Protocol):
    """The highest revision of every shortlist, and the frames that it ever named."""

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Merge the shortlists, durably; an older revision never overwrites a newer one.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def frames_ever(self, needle_ids: Collection[NeedleId]) -> set[FrameId]:
        """Every frame that any revision of these shortlists has named."""
        ...

    async def memberships(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId], Membership]:
        """Memberships of these frames; a pair that is not there was never shortlisted."""
        ...
