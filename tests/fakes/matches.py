from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime

from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.contracts.needles import NeedleFound
from services.domain.metrics.match_columns import NamedColumns
from services.domain.ports.frames import Pair
from services.domain.ports.matches import KnownCategories, Revised

Key = tuple[DetectorId, Category, FrameId]


class InMemoryMatchStore:
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._changed_at: dict[Key, datetime] = {}
        self._latest: dict[Key, CategoryMatched] = {}
        self._needles: dict[Key, set[NeedleId]] = defaultdict(set)
        self.erased = 0

    async def record(
        self, matches: Sequence[FrameMatched], needles: Iterable[NeedleFound] = ()
    ) -> dict[Pair, KnownCategories]:
        for match in categories_of(self._whole(matches)):
            key = (match.detector, match.category, match.frame_id)
            stored = self._latest.get(key)
            if stored is None or match.revision > stored.revision:
                self._latest[key] = match
                self._changed_at[key] = self._now()
        for needle in needles:
            key = (needle.detector, needle.category, needle.frame_id)
            self._needles[key].add(needle.needle_id)
        pairs = {(match.frame_id, match.detector) for match in matches}
        return {pair: {} for pair in pairs} | await self.known(pairs)

    def _whole(self, matches: Sequence[FrameMatched]) -> list[FrameMatched]:
        """The matches with an empty group for each category that vanished."""
        return [
            match.model_copy(
                update={
                    "groups": match.groups.with_vanished(
                        category
                        for detector, category, frame_id in self._latest
                        if (frame_id, detector) == (match.frame_id, match.detector)
                    )
                }
            )
            for match in matches
        ]

    async def known(self, pairs: Collection[Pair]) -> dict[Pair, KnownCategories]:
        known: dict[Pair, dict[Category, frozenset[NeedleId]]] = {}
        for key, match in self._latest.items():
            pair = match.frame_id, match.detector
            if pair in pairs:
                known.setdefault(pair, {})[match.category] = frozenset(self._needles[key])
        return dict(known)

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        return [match for _, match in sorted(self._latest.items()) if match.frame_id in frame_ids]

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        for match in list(self._latest.values()):
            if (
                (detector is None or match.detector == detector)
                and (categories is None or match.category in categories)
                and (split is None or match.split == split)
            ):
                yield match

    async def in_frame_order(
        self,
        detector: DetectorId,
        *,
        categories: Collection[Category] | None = None,
        after: FrameId | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        found = [
            match
            async for match in self.scan(detector=detector, categories=categories)
            if after is None or match.frame_id > after
        ]
        for match in sorted(found, key=lambda match: match.frame_id):
            yield match

    async def reference_frames(self) -> set[FrameId]:
        matches = self._latest.values()
        return {match.frame_id for match in matches if match.split is Split.REFERENCE}

    async def revised_since(self, at: datetime) -> set[Revised]:
        return {
            Revised(match.frame_id, match.detector, match.revision)
            for key, match in self._latest.items()
            if self._changed_at[key] >= at
        }

    def erase(self, frame_ids: Collection[FrameId]) -> None:
        """Forget these frames, as the eraser does in the store."""
        self._latest = {k: match for k, match in self._latest.items() if k[2] not in frame_ids}
        self.erased += 1

    async def erasures(self) -> int:
        return self.erased

    async def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        yield NamedColumns.of([m for m in self._latest.values() if m.category in categories])

    async def categories(self) -> list[Category]:
        return sorted({match.category for match in self._latest.values()})
