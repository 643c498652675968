"""The needle store's protocol: every needle and its shortlist."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.contracts.events import ErrorType
from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished


class ReviewProgress(StrEnum):
    """How far a needle's review is."""

    OPEN = "open"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True)
class NeedleRecord:
    """One needle at its highest revision, and the shortlist last written for it."""

    needle_id: NeedleId
    revision: int
    active: bool
    """False once it is retracted, until it is found again."""
    needle: NeedleFound | None
    """None where only a retraction has arrived so far."""
    shortlist: ShortlistPublished | None = None
    published_revision: int = 0
    """The shortlist revision that the broker has acknowledged."""

    @property
    def is_miss(self) -> bool:
        """Whether it is an annotated object that no detection found."""
        return self.needle is not None and self.needle.error_type is ErrorType.MISSED


class NeedleStore(Protocol):
    """Needles by id. Writing is idempotent; an older revision never overwrites a newer one."""

    async def record(self, facts: Sequence[NeedleFound | NeedleRetracted]) -> None:
        """Merge the facts into their needles, durably.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def load(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """The needles of these ids that are known."""
        ...

    def scan(
        self,
        *,
        detector: DetectorId | None = None,
    ) -> AsyncIterator[NeedleRecord]:
        """The known needles, active or not, by id; of every detector for None."""
        ...

    async def write_shortlists(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Store shortlists, each unless its revision or a newer one is stored."""
        ...

    async def mark_published(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Remember that the broker has acknowledged these."""
        ...

    async def naming(self, frame_ids: Collection[FrameId]) -> Sequence[NeedleRecord]:
        """The needles on these frames, and those whose shortlists have candidates on them."""
        ...

    async def delete(self, frame_ids: Collection[FrameId]) -> None:
        """Delete the needles on these frames with their shortlists, durably."""
        ...
