from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

from services.contracts.events import FrameMatched, Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.domain.metrics.match_columns import NamedColumns
from services.domain.ports.matches import Revised


class InMemoryMatchStore:
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._changed_at: dict[str, datetime] = {}
        self._latest: dict[str, FrameMatched] = {}
        self._needles: dict[str, set[NeedleId]] = defaultdict(set)

    async def record(
        self, matches: Sequence[FrameMatched], needles: Mapping[str, Collection[NeedleId]]
    ) -> None:
        for match in matches:
            stored = self._latest.get(match.key())
            if stored is None or match.revision > stored.revision:
                self._latest[match.key()] = match
                self._changed_at[match.key()] = self._now()
            self._needles[match.key()].update(needles.get(match.key(), ()))

    async def known(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId, Category], frozenset[NeedleId]]:
        return {
            (match.frame_id, match.detector, match.category): frozenset(self._needles[key])
            for key, match in self._latest.items()
            if match.frame_id in frame_ids
        }

    async def load(self, frame_ids: Collection[FrameId]) -> list[FrameMatched]:
        return [each for _, each in sorted(self._latest.items()) if each.frame_id in frame_ids]

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[FrameMatched]:
        for match in list(self._latest.values()):
            if (
                (detector is None or match.detector == detector)
                and (categories is None or match.category in categories)
                and (split is None or match.split == split)
            ):
                yield match

    async def revised_since(self, at: datetime) -> set[Revised]:
        return {
            Revised(each.frame_id, each.detector, each.category, each.revision)
            for key, each in self._latest.items()
            if self._changed_at[key] >= at
        }

    async def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        yield NamedColumns.of([m for m in self._latest.values() if m.category in categories])

    async def categories(self) -> list[Category]:
        return sorted({match.category for match in self._latest.values()})
