"""The match store's protocol; the evaluator and the report are rebuilt from it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.contracts.events import FrameMatched, Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.domain.metrics.match_columns import NamedColumns


class Revised(NamedTuple):
    """A match with a new revision."""

    frame_id: FrameId
    detector: DetectorId
    category: Category
    revision: int


class MatchStore(Protocol):
    """The latest FrameMatched of every (detector, category, frame), and all its needles ever."""

    async def record(
        self, matches: Sequence[FrameMatched], needles: Mapping[str, Collection[NeedleId]]
    ) -> None:
        """Store matches, unless a newer revision is stored, and add needle ids, which are kept.

        Parameters
        ----------
        needles : by a match's key, the ids of the needles that it will emit

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def known(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId, Category], frozenset[NeedleId]]:
        """Every (frame, detector, category) ever recorded on these frames, with its needle ids."""
        ...

    async def load(self, frame_ids: Collection[FrameId]) -> list[FrameMatched]:
        """Every stored match of these frames, in the order of their keys."""
        ...

    def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[FrameMatched]:
        """The stored matches that pass these filters, in no particular order."""
        ...

    async def revised_since(self, at: datetime) -> set[Revised]:
        """The matches with new revisions since then, by the store's clock, as they are now."""
        ...

    def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        """The columns that mAP needs of these categories' matches, in chunks of some thousands."""
        ...

    async def categories(self) -> list[Category]:
        """Every category that has a match."""
        ...
