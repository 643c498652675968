"""The match store's protocol; the evaluator and the report are rebuilt from it."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.contracts.matches import CategoryMatched, FrameMatched
from services.contracts.needles import NeedleFound
from services.domain.metrics.match_columns import NamedColumns
from services.domain.ports.frames import Pair

KnownCategories = Mapping[Category, frozenset[NeedleId]]


class Revised(NamedTuple):
    """A match with a new revision."""

    frame_id: FrameId
    detector: DetectorId
    revision: int


class MatchStore(Protocol):
    """The latest match of every (frame, detector), its categories and all its needles ever."""

    async def record(
        self, matches: Sequence[FrameMatched], needles: Iterable[NeedleFound] = ()
    ) -> dict[Pair, KnownCategories]:
        """Store matches, unless a newer revision is stored, and the ids of their needles.

        Categories and needle ids are kept for good: a later match retracts what is gone.

        Returns
        -------
        What `known` says of these matches then.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def known(self, pairs: Collection[Pair]) -> dict[Pair, KnownCategories]:
        """Every category ever recorded of these frames and detectors, with its needle ids."""
        ...

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        """Every stored match of these frames, in the order of their keys."""
        ...

    def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        """The stored matches that pass these filters, in no particular order."""
        ...

    def in_frame_order(
        self,
        detector: DetectorId,
        *,
        categories: Collection[Category] | None = None,
        after: FrameId | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        """A detector's stored matches by ascending frame id, for lists that are read in pages.

        Parameters
        ----------
        categories : only matches of these; None for all
        after : only frames with a larger id
        """
        ...

    async def reference_frames(self) -> set[FrameId]:
        """The frames that were reference when they were matched, whatever the split is now."""
        ...

    async def revised_since(self, at: datetime) -> set[Revised]:
        """The matches with new revisions since then, by the store's clock, as they are now."""
        ...

    async def erasures(self) -> int:
        """The number of frames erased so far.

        A process that holds matches in memory reads all of them again when it changes.
        """
        ...

    def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        """The columns that mAP needs of these categories' matches, in chunks of some thousands."""
        ...

    async def categories(self) -> list[Category]:
        """Every category that has a match."""
        ...
