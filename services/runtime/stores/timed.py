"""Wrappers that measure how long store operations take."""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from services.contracts.identity import PointId
from services.domain.arrays import Vector, Vectors
from services.domain.ports.blobs import BlobStore
from services.domain.ports.vectors import Hit, Point, VectorReader, VectorStore, Where
from services.runtime.observability import metrics, traces

_COMMANDS = frozenset(
    {"aggregate", "count", "createIndexes", "delete", "distinct", "find", "getMore", "insert"}
    | {"findAndModify", "update", "hello", "endSessions"}
)
"""MongoDB commands with a metric label of their own; all others share one."""
_SLOW_S = 0.05
"""Duration from which a trace notes an operation; noting every call would hide the slow ones."""


@contextmanager
def measured(store: str, operation: str) -> Iterator[None]:
    """Measure one operation, whether it succeeds or fails."""
    started = time.perf_counter()
    failed = False
    try:
        yield
    except Exception:
        failed = True
        raise
    finally:
        _note(store, operation, time.perf_counter() - started, failed=failed)


def _note(store: str, operation: str, took_s: float, *, failed: bool) -> None:
    metrics.STORE_SECONDS.labels(store, operation).observe(took_s)
    if failed:
        metrics.STORE_FAILURES.labels(store, operation).inc()
    if failed or took_s >= _SLOW_S:
        outcome = "failed" if failed else "slow"
        traces.note(f"{store} {operation} {outcome}", **{"gazeloop.seconds": round(took_s, 3)})


class MongoStopwatch(CommandListener):
    """Measures every command of a MongoDB client."""

    def started(self, event: CommandStartedEvent) -> None:
        """Do nothing; the driver reports the duration at the end."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Record its duration."""
        self._took(event, failed=False)

    def failed(self, event: CommandFailedEvent) -> None:
        """Record its duration and the failure."""
        self._took(event, failed=True)

    @staticmethod
    def _took(event: CommandSucceededEvent | CommandFailedEvent, *, failed: bool) -> None:
        name = event.command_name if event.command_name in _COMMANDS else "other"
        _note("mongodb", name, event.duration_micros / 1e6, failed=failed)


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

    def delete(self, uri: str) -> None:
        with measured("blobs", "delete"):
            self._blobs.delete(uri)

    def uris(self) -> Iterator[str]:
        # Not measured: its duration depends on the reader.
        return self._blobs.uris()


class TimedVectorReader:
    """A VectorReader that is measured."""

    def __init__(self, vectors: VectorReader) -> None:
        self._vectors = vectors

    async def dimension(self, collection: str) -> int | None:
        with measured("vectors", "dimension"):
            return await self._vectors.dimension(collection)

    async def collections(self) -> list[str]:
        with measured("vectors", "collections"):
            return await self._vectors.collections()

    async def aliases(self) -> dict[str, str]:
        with measured("vectors", "aliases"):
            return await self._vectors.aliases()

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        with measured("vectors", "load"):
            return await self._vectors.load(collection, point_ids)

    def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        # Not measured: its duration depends on the reader.
        return self._vectors.scan(collection, at_once)

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        with measured("vectors", "nearest"):
            return await self._vectors.nearest(collection, vector, where, limit)

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        with measured("vectors", "nearest_batch"):
            return await self._vectors.nearest_batch(collection, vectors, where, limit)

    async def count(self, collection: str, where: Where) -> int:
        with measured("vectors", "count"):
            return await self._vectors.count(collection, where)

    async def close(self) -> None:
        await self._vectors.close()


class TimedVectors(TimedVectorReader):
    """A VectorStore that is measured."""

    def __init__(self, vectors: VectorStore) -> None:
        super().__init__(vectors)
        self._store = vectors

    async def alias(self, names: Mapping[str, str]) -> None:
        with measured("vectors", "alias"):
            await self._store.alias(names)

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        with measured("vectors", "ensure"):
            await self._store.ensure(collection, dimension, keywords=keywords, numbers=numbers)

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        with measured("vectors", "upsert"):
            await self._store.upsert(collection, points)

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        with measured("vectors", "delete"):
            await self._store.delete(collection, point_ids)

    async def delete_others(self, collection: str, where: Where, kept: Collection[PointId]) -> None:
        with measured("vectors", "delete"):
            await self._store.delete_others(collection, where, kept)

    async def drop(self, collections: Collection[str]) -> None:
        with measured("vectors", "drop"):
            await self._store.drop(collections)
