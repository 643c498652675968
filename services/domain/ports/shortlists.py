"""The protocol of shortlist membership, by published events: moves frames from H-S to S."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.frames import Pair


@dataclass(frozen=True)
class Membership:
    """Whether any needle of a detector shortlists a frame; `version` rises when that may change.

    The version is the sum, over the needles that ever listed the frame, of the revision that last
    put it on their shortlist or took it off. Revisions that do not move the frame do not count.
    """

    shortlisted: bool
    version: int
    since: datetime | None = field(default=None, compare=False)
    """When the frame came on the first of its current shortlists, by the store's clock; None if it
    is on none, or the time is unknown."""


NOT_SHORTLISTED = Membership(shortlisted=False, version=0)


class ShortlistStore(Protocol):
    """The highest revision of every shortlist, and which revision last moved each frame."""

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Merge the shortlists, durably; an older revision never overwrites a newer one.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def moved(self, shortlists: Sequence[ShortlistPublished]) -> set[Pair]:
        """The frames whose last move, on or off, was by one of these revisions; by detector."""
        ...

    async def memberships(self, frame_ids: Collection[FrameId]) -> dict[Pair, Membership]:
        """Memberships of these frames; a missing pair was never shortlisted."""
        ...
