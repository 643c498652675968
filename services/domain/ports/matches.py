"""The durable record of every match: the evaluator and the report are rebuilt from it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.contracts.events import FrameMatched, Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.domain.metrics.match_columns import NamedColumns


class Revised(NamedTuple):
    """A match that became another."""

    frame_id: FrameId
    detector: DetectorId
    category: Category
    revision: int


class MatchStore(Protocol):
    """The latest FrameMatched of every (detector, category, frame), and the needles it ever had."""

    async def record(
        self, matches: Sequence[FrameMatched], needles: Mapping[str, Collection[NeedleId]]
    ) -> None:
        """Store matches, unless a newer revision is there, and remember needles for ever.

        Parameters
        ----------
        needles : by a match's key, the ids of the needles that it is about to emit

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def known(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId, Category], frozenset[NeedleId]]:
        """All that was ever recorded of these frames, with every needle ever remembered."""
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
        """The stored matches, in no particular order; all of them where nothing is named."""
        ...

    async def changed_since(self, at: datetime) -> bool:
        """Whether any match became another since then, by the store's clock."""
        ...

    async def revised_since(self, at: datetime) -> set[Revised]:
        """The matches that became others since then, by the store's clock, as they are now."""
        ...

    def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        """What mAP needs of the stored matches of these categories, some thousands at a time."""
        ...

    async def categories(self) -> list[Category]:
        """Every category that has a match."""
        ...
