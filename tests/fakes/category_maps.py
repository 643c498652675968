from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.contracts.identity import Category, DetectorId
from services.domain.detection.category_map import (
    SAME_NAMES,
    CategoryMap,
    Names,
    effective_map,
)
from services.domain.ports.category_maps import (
    MapScope,
    Rematch,
    StoredMap,
    UnknownCategory,
    scopes_of,
)


class InMemoryCategoryMaps:
    def __init__(self) -> None:
        self._maps: dict[MapScope, StoredMap] = {}
        self._rematches: dict[MapScope, Rematch] = {}
        self.unknown_categories: list[UnknownCategory] = []

    async def change(
        self, scope: MapScope, names: Names, by: str, at: datetime, dropped: Collection[Category]
    ) -> bool:
        before = self._map(scope)
        after = {name: meant for name, meant in before.names.items() if name not in dropped}
        after.update(names)
        if after == before.names:
            return False
        self._put(scope, after, by, at)
        return True

    async def rematch(self, scope: MapScope, by: str, at: datetime) -> None:
        self._put(scope, self._map(scope).names, by, at)

    def _put(self, scope: MapScope, names: Names, by: str, at: datetime) -> None:
        changed = CategoryMap(names, self._map(scope).revision + 1)
        self._maps[scope] = StoredMap(scope, changed, by, at)
        self._rematches[scope] = Rematch(scope, changed.revision)

    async def all(self) -> Sequence[StoredMap]:
        return [self._maps[scope] for scope in sorted(self._maps)]

    async def of(self, detectors: Collection[DetectorId]) -> Mapping[DetectorId, CategoryMap]:
        return self.effective(detectors)

    def effective(self, detectors: Iterable[DetectorId]) -> dict[DetectorId, CategoryMap]:
        return {
            detector: effective_map(*map(self._map, scopes_of(detector)))
            for detector in detectors
            if not self._maps.keys().isdisjoint(scopes_of(detector))
        }

    async def unmatched(self) -> Sequence[Rematch]:
        return [self._rematches[scope] for scope in sorted(self._rematches)]

    async def note(self, done: Rematch) -> None:
        if self._is_current(done):
            self._rematches[done.scope] = replace(done)

    async def finish(self, done: Rematch) -> None:
        if self._is_current(done):
            self._rematches.pop(done.scope, None)

    async def unknown(self) -> Sequence[UnknownCategory]:
        return self.unknown_categories

    def _is_current(self, done: Rematch) -> bool:
        return self._map(done.scope).revision == done.revision

    def _map(self, scope: MapScope) -> CategoryMap:
        stored = self._maps.get(scope)
        return stored.map if stored else SAME_NAMES
