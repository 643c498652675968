"""Vectors with their payload, found by similarity: what is asked of Qdrant, server or Edge."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.contracts.identity import PointId

Vector = NDArray[np.float32]
Payload = Mapping[str, str | float | int | bool | None]


@dataclass(frozen=True)
class Point:
    """One vector, (D,) float32, with the payload that searches filter by."""

    point_id: PointId
    vector: Vector
    payload: Payload


@dataclass(frozen=True)
class Where:
    """A filter: fields equal to a value, and numbers that reach a bound."""

    equals: Mapping[str, str] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A point that was found, and its cosine similarity to the query."""

    point_id: PointId
    similarity: float
    payload: Payload


class VectorStore(Protocol):
    """Named collections of points. All writes are durable when the call returns."""

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        """Create the collection (cosine) with its payload indexes, unless it exists."""
        ...

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, replacing those of the same id."""
        ...

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        """Remove points; ids that are not there are fine."""
        ...

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        """The unit vectors of these ids that exist."""
        ...

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        """The most similar points, best first; equal similarities in the order of their ids."""
        ...

    async def close(self) -> None:
        """Flush and let go."""
        ...
