"""Vectors in Qdrant Edge: Qdrant's engine in this process, one folder per collection."""

import asyncio
import fcntl
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO
from uuid import UUID

import numpy as np
import qdrant_edge as edge

from services.contracts.errors import (
    DamagedVectors,
    Fatal,
    GazeloopError,
    InvalidSettings,
    StoreUnavailable,
)
from services.contracts.identity import PointId
from services.domain.arrays import Vector, Vectors
from services.domain.ports.vectors import Hit, Point, Quantization, Where, has_all_ties
from services.runtime.durability import sync
from services.runtime.stores.vectors_edge_copy import writing_to
from services.runtime.stores.vectors_edge_files import (
    create_collection,
    drop_collection,
    finish_dropping,
    load_shard,
    vector_config,
)
from services.runtime.stores.vectors_edge_names import EdgeNames
from services.runtime.stores.vectors_edge_queries import filter_of, hits_of, others_of, request_of

_QUANTISE_FROM = 20_000
_QUANTISE_SHARE = 5
"""New points are quantised once there are 20,000 of them and they are a fifth of all points. A run
takes a second per 100,000 points of the collection, so a million points take a minute in all."""
_FLUSH_FROM = 10_000
"""Points that may be in the engine's log only: 20 MB at 512 dimensions, replayed after a crash."""
_LOG = "wal"
_SPARE = 2
"""Results requested beyond the limit, so that most ties for the last place need no second query."""


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    # Edge raises bare Exceptions and ValueErrors that only their text distinguishes.
    try:
        yield
    except GazeloopError:
        raise
    except ValueError as exc:
        raise Fatal(f"{doing}: {exc}") from exc
    except Exception as exc:
        if type(exc) is not Exception:
            raise
        if "dimension error" in str(exc) or "Wrong input" in str(exc):
            raise Fatal(f"{doing}: {exc}") from exc
        if "out of bounds" in str(exc):
            raise DamagedVectors(f"{doing}: {exc}") from exc
        raise StoreUnavailable(f"{doing}: {exc}") from exc


class EdgeVectorStore:
    """A VectorStore in a folder, which one process owns at a time.

    Searches run concurrently with each other and with a write; writes to a collection queue.
    """

    def __init__(self, folder: Path, owner: IO[str], quantization: Quantization) -> None:
        self._folder = folder
        self._owner = owner
        self._quantization = quantization
        self._unquantised: Counter[str] = Counter()
        self._unflushed: Counter[str] = Counter()
        self._quantised: set[str] = set()
        self._opening = Lock()
        self._names = EdgeNames(folder)
        self._shards: dict[str, tuple[edge.EdgeShard, Lock]] = {}
        self._closed = False

    @classmethod
    def open(
        cls, folder: Path, quantization: Quantization = Quantization.NONE
    ) -> "EdgeVectorStore":
        """Lock the folder, and create it if it is missing.

        Parameters
        ----------
        quantization : of newly created collections

        Raises
        ------
        InvalidSettings
            Another process has the folder open.
        """
        folder.mkdir(parents=True, exist_ok=True)
        owner = (folder / ".lock").open("a+")
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner.close()
            raise InvalidSettings(
                f"another process has the vectors in {folder} open, and Qdrant Edge has one owner:"
                " stop `gazeloop up` for as long as this takes, or name a Qdrant server with"
                " `--set qdrant=URL`"
            ) from exc
        finish_dropping(folder)
        return cls(folder, owner, quantization)

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        await asyncio.to_thread(self._ensure, collection, dimension, keywords, numbers)

    async def dimension(self, collection: str) -> int | None:
        return await asyncio.to_thread(self._dimension, collection)

    async def collections(self) -> list[str]:
        return await self._names.collections()

    async def aliases(self) -> dict[str, str]:
        return await self._names.aliases()

    async def alias(self, names: Mapping[str, str]) -> None:
        await self._names.alias(names)

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        if points:
            await asyncio.to_thread(self._upsert, collection, points)

    async def delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        if point_ids:
            deletion = edge.UpdateOperation.delete_points([*point_ids])
            await asyncio.to_thread(self._delete, collection, deletion)

    async def delete_others(self, collection: str, where: Where, kept: Collection[PointId]) -> None:
        await asyncio.to_thread(self._delete_others, collection, others_of(where, kept))

    async def drop(self, collections: Collection[str]) -> None:
        await asyncio.to_thread(self._drop, collections)

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        return await asyncio.to_thread(self._load, collection, point_ids)

    async def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        following: PointId | None = None
        while True:
            points, following = await asyncio.to_thread(self._page, collection, following, at_once)
            if points:
                yield points
            if following is None:
                return

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        if limit < 1:
            return []
        return await asyncio.to_thread(self._nearest, collection, vector, where, limit)

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        if limit < 1:
            return [[] for _ in vectors]
        return await asyncio.to_thread(self._nearest_batch, collection, vectors, where, limit)

    async def count(self, collection: str, where: Where) -> int:
        return await asyncio.to_thread(self._counted, collection, filter_of(where))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _ensure(
        self, collection: str, dimension: int, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        with self._opening, _translated(f"creating {collection}"), writing_to(self._folder):
            path = self._path(collection)
            if not path.exists():
                create_collection(
                    path, dimension, self._quantization, keywords=keywords, numbers=numbers
                )
        found = self._shard(collection)
        assert found is not None
        held = vector_config(path)["size"]
        if held != dimension:
            raise InvalidSettings(f"{collection} holds {held} dimensions, not {dimension}")

    def _dimension(self, collection: str) -> int | None:
        path = self._path(self._names.now().get(collection, collection))
        return int(vector_config(path)["size"]) if path.exists() else None

    def _upsert(self, collection: str, points: Sequence[Point]) -> None:
        shard, writing = self._existing(collection)
        rows = [
            # A list, because the engine takes an array apart by single numbers, twice as slowly.
            edge.Point(point.point_id, point.vector.tolist(), dict(point.payload))
            for point in points
        ]
        with writing, _translated(f"writing to {collection}"), writing_to(self._folder):
            shard.update(edge.UpdateOperation.upsert_points(rows))
            self._keep(collection, shard, len(rows))
            self._quantise(collection, shard, len(rows))

    def _keep(self, collection: str, shard: edge.EdgeShard, written: int) -> None:
        """Make a write durable by syncing the engine's log, which is replayed when it opens.

        A full flush writes a dozen files and holds Python's global interpreter lock for as long as
        the disk needs, so that the whole process stops meanwhile.
        """
        path = self._path(self._names.now().get(collection, collection))
        self._unflushed[path.name] += written
        if self._unflushed[path.name] >= _FLUSH_FROM:
            self._unflushed[path.name] = 0
            shard.flush()
            return
        for part in (path / _LOG).iterdir():
            # The engine renames spare log files at any time; a missing one was a spare.
            with suppress(FileNotFoundError):
                sync(part)
        sync(path / _LOG)

    def _quantise(self, collection: str, shard: edge.EdgeShard, written: int) -> None:
        """Quantise new points once there are enough; until then they are searched unquantised."""
        if self._names.now().get(collection, collection) not in self._quantised:
            return
        self._unquantised[collection] += written
        fresh = self._unquantised[collection]
        if fresh >= max(_QUANTISE_FROM, shard.info().points_count // _QUANTISE_SHARE):
            self._unquantised[collection] = 0
            shard.optimize()

    def _delete_others(self, collection: str, others: edge.Filter) -> None:
        # A deletion flushes, which holds the whole process for as long as the disk needs.
        if self._counted(collection, others):
            self._delete(collection, edge.UpdateOperation.delete_points_by_filter(others))

    def _delete(self, collection: str, deletion: edge.UpdateOperation) -> None:
        found = self._shard(collection)
        if found is None:
            return
        shard, writing = found
        with writing, _translated(f"deleting from {collection}"), writing_to(self._folder):
            shard.update(deletion)
            shard.flush()

    def _drop(self, collections: Collection[str]) -> None:
        for collection in collections:
            path = self._path(collection)
            with self._opening, _translated(f"dropping {collection}"), writing_to(self._folder):
                if path.name in self._shards:
                    shard, writing = self._shards.pop(path.name)
                    with writing:
                        shard.close()
                drop_collection(path)

    def _load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        found = self._shard(collection)
        if found is None or not point_ids:
            return {}
        with _translated(f"reading {collection}"):
            records = found[0].retrieve([*point_ids], with_payload=False, with_vector=True)
        # For a point whose vector file is damaged, the engine returns an empty mapping.
        return {
            PointId(str(record.id)): np.asarray(record.vector, np.float32)
            for record in records
            if isinstance(record.vector, list | np.ndarray) and len(record.vector)
        }

    def _page(
        self, collection: str, first: PointId | None, at_once: int
    ) -> tuple[list[Point], PointId | None]:
        """Points from an id on, and the id that comes after them."""
        found = self._shard(collection)
        if found is None:
            return [], None
        request = edge.ScrollRequest(
            offset=UUID(first) if first else None,
            limit=at_once,
            with_payload=True,
            with_vector=True,
        )
        with _translated(f"reading {collection}"):
            records, following = found[0].scroll(request)
        points = [
            Point(PointId(str(r.id)), np.asarray(r.vector, np.float32), r.payload or {})
            for r in records
        ]
        return points, PointId(str(following)) if following else None

    def _nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        found = self._shard(collection)
        if found is None:
            return []
        requested = limit + _SPARE
        while True:
            with _translated(f"searching {collection}"):
                hits = hits_of(found[0].query(request_of(vector, where, requested)))
            if has_all_ties(hits, limit, requested):
                return hits[:limit]
            requested *= 4

    def _nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        found = self._shard(collection)
        if found is None:
            return [[] for _ in vectors]
        requested = limit + _SPARE
        requests = [request_of(vector, where, requested) for vector in vectors]
        with _translated(f"searching {collection}"):
            answers = found[0].query_batch(edge.QueryBatchRequest(requests))
        per_query = [hits_of(answer) for answer in answers]
        return [
            hits[:limit]
            if has_all_ties(hits, limit, requested)
            else self._nearest(collection, vector, where, limit)
            for hits, vector in zip(per_query, vectors, strict=True)
        ]

    def _counted(self, collection: str, points: edge.Filter | None) -> int:
        found = self._shard(collection)
        if found is None:
            return 0
        with _translated(f"counting in {collection}"):
            counted: int = found[0].count(edge.CountRequest(exact=True, filter=points))
        return counted

    def _close(self) -> None:
        with self._opening, _translated("closing"), writing_to(self._folder):
            for shard, writing in self._shards.values():
                with writing:
                    shard.flush()
                    shard.close()
            self._shards.clear()
            self._closed = True
            self._owner.close()

    def _existing(self, collection: str) -> tuple[edge.EdgeShard, Lock]:
        found = self._shard(collection)
        if found is None:
            raise Fatal(f"there is no collection {collection}: ensure it first")
        return found

    def _shard(self, collection: str) -> tuple[edge.EdgeShard, Lock] | None:
        # An open collection is found by its own name, without reading the file of aliases.
        return self._shards.get(collection) or self._opened(collection)

    def _opened(self, collection: str) -> tuple[edge.EdgeShard, Lock] | None:
        with self._opening, _translated(f"opening {collection}"):
            if self._closed:
                raise StoreUnavailable("the vector store is closed")
            path = self._path(self._names.now().get(collection, collection))
            if path.name not in self._shards:
                if not path.exists():
                    return None
                with writing_to(self._folder):
                    self._shards[path.name] = self._load_shard(path), Lock()
            return self._shards[path.name]

    def _load_shard(self, path: Path) -> edge.EdgeShard:
        shard = load_shard(path)
        if vector_config(path).get("quantization_config"):
            self._quantised.add(path.name)
            # Quantise the points that were too few for that before the last close.
            shard.optimize()
        return shard

    def _path(self, collection: str) -> Path:
        if collection.startswith(".") or "/" in collection:
            raise Fatal(f"{collection!r} cannot name a collection")
        return self._folder / collection
