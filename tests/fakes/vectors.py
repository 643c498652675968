"""A VectorStore in memory."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.contracts.errors import Fatal, InvalidSettings
from services.contracts.identity import PointId
from services.domain.arrays import Vector, Vectors
from services.domain.ports.vectors import Hit, Payload, Point, Where, best_first


@dataclass
class _Held:
    dimension: int
    points: dict[PointId, tuple[Vector, Payload]] = field(default_factory=dict)


class InMemoryVectors:
    """Exact search by brute force."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._aliases: dict[str, str] = {}

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        del keywords, numbers
        held = self._held.setdefault(collection, _Held(dimension))
        if held.dimension != dimension:
            raise InvalidSettings(f"{collection} holds {held.dimension} dimensions")

    async def dimension(self, collection: str) -> int | None:
        held = self._named(collection)
        return held.dimension if held else None

    async def collections(self) -> list[str]:
        return sorted(self._held)

    async def alias(self, names: Mapping[str, str]) -> None:
        self._aliases |= names

    async def aliases(self) -> dict[str, str]:
        return dict(self._aliases)

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        if not points:
            return
        held = self._named(collection)
        if held is None or any(point.vector.shape != (held.dimension,) for point in points):
            raise Fatal(f"{collection} is missing, or of another dimension")
        for point in points:
            length = float(np.linalg.norm(point.vector)) or 1.0
            unit = (point.vector / length).astype(np.float32)
            held.points[point.point_id] = unit, dict(point.payload)

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        for point_id in point_ids:
            self._points(collection).pop(point_id, None)

    async def delete_others(self, collection: str, where: Where, kept: Collection[PointId]) -> None:
        points = self._points(collection)
        for point_id in [p for p, (_, payload) in points.items() if _passes(payload, where)]:
            if point_id not in kept:
                del points[point_id]

    async def drop(self, collections: Collection[str]) -> None:
        for collection in collections:
            self._held.pop(collection, None)

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        points = self._points(collection)
        return {point_id: points[point_id][0] for point_id in point_ids if point_id in points}

    async def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        points = sorted(self._points(collection).items())
        for first in range(0, len(points), at_once):
            some = points[first : first + at_once]
            yield [Point(point_id, unit, payload) for point_id, (unit, payload) in some]

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        query = vector.astype(np.float64) / (float(np.linalg.norm(vector)) or 1.0)
        found = [
            (point_id, float(np.dot(unit.astype(np.float64), query)), payload)
            for point_id, (unit, payload) in self._points(collection).items()
            if _passes(payload, where)
        ]
        return best_first(found)[: max(limit, 0)]

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        return [await self.nearest(collection, vector, where, limit) for vector in vectors]

    async def count(self, collection: str, where: Where) -> int:
        return sum(_passes(payload, where) for _, payload in self._points(collection).values())

    async def close(self) -> None:
        return

    def _named(self, collection: str) -> _Held | None:
        return self._held.get(self._aliases.get(collection, collection))

    def _points(self, collection: str) -> dict[PointId, tuple[Vector, Payload]]:
        held = self._named(collection)
        return held.points if held else {}


def _passes(payload: Payload, where: Where) -> bool:
    equal = all(payload.get(name) == value for name, value in where.equals.items())
    return equal and all(
        isinstance(value := payload.get(name), int | float) and value >= bound
        for name, bound in where.at_least.items()
    )
