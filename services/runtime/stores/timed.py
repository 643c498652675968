"""Measures what the stores take: the same store, seen through a stopwatch."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from services.contracts.identity import PointId
from services.runtime import metrics
from services.runtime.stores.blobs import BlobStore
from services.runtime.stores.vectors import Hit, Point, Vector, VectorStore, Where

_COMMANDS = frozenset(
    {"aggregate", "count", "createIndexes", "delete", "distinct", "find", "getMore", "insert"}
    | {"findAndModify", "update", "hello", "endSessions"}
)
"""MongoDB's commands that we use; any other shares a label."""


@contextmanager
def measured(store: str, operation: str) -> Iterator[None]:
    """Measure one operation, whether it succeeds or fails."""
    started = time.perf_counter()
    try:
        yield
    except Exception:
        metrics.STORE_FAILURES.labels(store, operation).inc()
        raise
    finally:
        took = time.perf_counter() - started
        metrics.STORE_SECONDS.labels(store, operation).observe(took)


class MongoStopwatch(CommandListener):
    """Measures every command of a MongoDB client."""

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count its time."""
        self._note(event)

    def failed(self, event: CommandFailedEvent) -> None:
        """Count its time, and the failure."""
        metrics.STORE_FAILURES.labels("mongodb", self._note(event)).inc()

    @staticmethod
    def _note(event: CommandSucceededEvent | CommandFailedEvent) -> str:
        name = event.command_name if event.command_name in _COMMANDS else "other"
        metrics.STORE_SECONDS.labels("mongodb", name).observe(event.duration_micros / 1e6)
        return name


class TimedBlobs:
    """A BlobStore that is measured."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def put(self, content: bytes) -> str:
        with measured("blobs", "put"):
            return self._blobs.put(content)

    def get(self, uri: str) -> bytes:
        with measured("blobs", "get"):
            return self._blobs.get(uri)


class TimedVectors:
    """A VectorStore that is measured."""

    def __init__(self, vectors: VectorStore) -> None:
        self._vectors = vectors

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        with measured("vectors", "ensure"):
            await self._vectors.ensure(collection, dimension, keywords=keywords, numbers=numbers)

    async def collections(self) -> list[str]:
        with measured("vectors", "collections"):
            return await self._vectors.collections()

    async def alias(self, names: Mapping[str, str]) -> None:
        with measured("vectors", "alias"):
            await self._vectors.alias(names)

    async def aliases(self) -> dict[str, str]:
        with measured("vectors", "aliases"):
            return await self._vectors.aliases()

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        with measured("vectors", "upsert"):
            await self._vectors.upsert(collection, points)

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        with measured("vectors", "delete"):
            await self._vectors.delete(collection, point_ids)

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        with measured("vectors", "load"):
            return await self._vectors.load(collection, point_ids)

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        with measured("vectors", "nearest"):
            return await self._vectors.nearest(collection, vector, where, limit)

    async def count(self, collection: str, where: Where) -> int:
        with measured("vectors", "count"):
            return await self._vectors.count(collection, where)

    async def close(self) -> None:
        await self._vectors.close()
