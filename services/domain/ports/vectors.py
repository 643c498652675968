"""The protocol of the vector store (Qdrant, server or Edge): search by similarity."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.contracts.identity import ModelId, PointId
from services.domain.arrays import Vector, Vectors

Payload = Mapping[str, str | float | int | bool | None]


FRAME_VECTORS = "frames"
"""Alias of the live model's collection of global vectors."""
REGION_VECTORS = "regions"
"""Alias of the live model's collection of region vectors."""


def collection_of(alias: str, model: ModelId) -> str:
    """The collection of one model's vectors; every model has its own."""
    return f"{alias}-{model}"


def models_of(collections: Iterable[str]) -> list[ModelId]:
    """The models that have region vectors, in the order of their ids."""
    prefix = collection_of(REGION_VECTORS, ModelId(""))
    return sorted(
        ModelId(collection.removeprefix(prefix))
        for collection in collections
        if collection.startswith(prefix)
    )


def model_of(alias: str, collection: str | None) -> ModelId | None:
    """The model of a collection; None without a collection."""
    return ModelId(collection.removeprefix(f"{alias}-")) if collection else None


async def live_model(names: "CollectionNames", alias: str) -> ModelId | None:
    """The model that searches by this alias use; None where nothing is embedded yet.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    return model_of(alias, (await names.aliases()).get(alias))


@dataclass(frozen=True)
class Point:
    """One vector, (D,) float32, with the payload that searches filter by."""

    point_id: PointId
    vector: Vector
    payload: Payload


@dataclass(frozen=True)
class Where:
    """A filter: fields that equal a value, and numbers not less than a bound."""

    equals: Mapping[str, str] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A point that was found, and its cosine similarity to the query."""

    point_id: PointId
    similarity: float
    payload: Payload


SIMILARITY_DECIMALS = 6
"""Engines agree on float32 cosines to this many decimals; cosines equal to it tie."""


OVERSAMPLING = 2.0
"""Where vectors are quantised, so many times the hits are compared again with the vectors as they
are: recall@10 was 1.0 then, and .95 without (docs/measurements/shortlists.md)."""


class Quantization(StrEnum):
    """How the index stores vectors."""

    NONE = "none"
    """As they are."""
    INT8 = "int8"
    """A byte per dimension in memory, the vectors themselves on disk."""


def best_first(found: Iterable[tuple[PointId, float, Payload]]) -> list[Hit]:
    """Hits by descending similarity, rounded so that float noise does not break ties, then id."""
    hits = [
        Hit(point, round(alike, SIMILARITY_DECIMALS), payload) for point, alike, payload in found
    ]
    hits.sort(key=lambda hit: (-hit.similarity, hit.point_id))
    return hits


def has_all_ties(hits: Sequence[Hit], limit: int, requested: int) -> bool:
    """Whether all points that tie for the last rank were returned.

    Parameters
    ----------
    hits : in the order of `best_first`
    limit : the number of hits wanted
    requested : the number requested from the engine, at least `limit`
    """
    return len(hits) < requested or hits[-1].similarity < hits[limit - 1].similarity


class CollectionNames(Protocol):
    """Collections and their aliases."""

    async def collections(self) -> list[str]:
        """Every collection, in the order of their names.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def aliases(self) -> dict[str, str]:
        """The collection of each alias."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...


class CollectionAliases(CollectionNames, Protocol):
    """Collections, and aliases that can be moved."""

    async def alias(self, names: Mapping[str, str]) -> None:
        """Point each alias to its collection, atomically.

        No search sees only some of them moved.
        """
        ...


class VectorReader(CollectionNames, Protocol):
    """Reads named collections of points.

    An alias may be used instead of a collection's name. A collection that does not exist is empty.
    """

    async def dimension(self, collection: str) -> int | None:
        """The dimension of its vectors; None where the collection does not exist."""
        ...

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        """The unit vectors of these ids that exist."""
        ...

    def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        """Every point, with its unit vector, in lists of at most this many, in the order of ids.

        Points that are there when the scan begins, and are not deleted meanwhile, are all yielded.
        """
        ...

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        """The most similar points, best first; equal similarities in the order of their ids."""
        ...

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        """Run `nearest` for several vectors in one query.

        Parameters
        ----------
        vectors : (N, D) float32
        """
        ...

    async def count(self, collection: str, where: Where) -> int:
        """The number of points that pass the filter."""
        ...


class VectorStore(VectorReader, CollectionAliases, Protocol):
    """Reads and writes collections. All writes are durable when the call returns.

    Deleting from a collection that does not exist is fine; writing to it is Fatal.
    """

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        """Create the collection (cosine) with its payload indexes, unless it exists.

        Raises
        ------
        InvalidSettings
            It exists with another dimension.
        """
        ...

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, replacing those of the same id."""
        ...

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        """Remove points; ids that are not there are fine."""
        ...

    async def delete_others(self, collection: str, where: Where, kept: Collection[PointId]) -> None:
        """Remove all points that pass the filter but these."""
        ...

    async def drop(self, collections: Collection[str]) -> None:
        """Delete collections with all their points; those that are not there are fine."""
        ...
