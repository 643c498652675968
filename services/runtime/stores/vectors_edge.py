"""Vectors in Qdrant Edge: Qdrant's engine in this process, one folder per collection."""

import asyncio
import fcntl
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from threading import Lock
from typing import IO

import numpy as np
import orjson
import qdrant_edge as edge

from services.contracts.errors import Fatal, GazeloopError, InvalidSettings, StoreUnavailable
from services.contracts.identity import PointId
from services.runtime.stores.vectors import Hit, Point, Vector, Where, best_first, is_settled
from services.runtime.stores.vectors_edge_names import EdgeNames, sync_folder

_SPARE = 2
"""Asked for beyond the limit, so that most ties for the last place settle at once."""


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    # Edge raises bare Exceptions and ValueErrors, told apart by their text alone.
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
        raise StoreUnavailable(f"{doing}: {exc}") from exc


class EdgeVectorStore:
    """A VectorStore in a folder, which one process owns at a time.

    Searches run beside one another and beside a write; writes to a collection queue.
    """

    def __init__(self, folder: Path, owner: IO[str]) -> None:
        self._folder = folder
        self._owner = owner
        self._opening = Lock()
        self._names = EdgeNames(folder)
        self._shards: dict[str, tuple[edge.EdgeShard, Lock]] = {}
        self._closed = False

    @classmethod
    def open(cls, folder: Path) -> "EdgeVectorStore":
        """Take the folder, creating it where it is missing.

        Raises
        ------
        InvalidSettings
            Another process has it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        owner = (folder / ".lock").open("a+")
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner.close()
            raise InvalidSettings(
                f"the vectors in {folder} are open already: Qdrant Edge has one owner; stop the "
                "other process, or use another data folder or a Qdrant server (GAZELOOP_QDRANT)"
            ) from exc
        return cls(folder, owner)

    async def ensure(
        self, collection: str, dimension: int, *, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        await asyncio.to_thread(self._ensure, collection, dimension, keywords, numbers)

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
            await asyncio.to_thread(self._delete, collection, point_ids)

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        return await asyncio.to_thread(self._load, collection, point_ids)

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        if limit < 1:
            return []
        return await asyncio.to_thread(self._nearest, collection, vector, where, limit)

    async def count(self, collection: str, where: Where) -> int:
        return await asyncio.to_thread(self._count, collection, where)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _ensure(
        self, collection: str, dimension: int, keywords: Sequence[str], numbers: Sequence[str]
    ) -> None:
        with self._opening, _translated(f"creating {collection}"):
            path = self._path(collection)
            if not path.exists():
                # Renamed into place when it is whole: a crash leaves all of it or none.
                fresh = path.with_name(f".{path.name}.new")
                rmtree(fresh, ignore_errors=True)
                fresh.mkdir()
                _create(fresh, dimension, keywords, numbers)
                fresh.rename(path)
                sync_folder(self._folder)
        found = self._shard(collection)
        assert found is not None
        held = orjson.loads((path / "edge_config.json").read_bytes())["vectors"][""]["size"]
        if held != dimension:
            raise InvalidSettings(f"{collection} holds {held} dimensions, not {dimension}")

    def _upsert(self, collection: str, points: Sequence[Point]) -> None:
        shard, writing = self._existing(collection)
        rows = [
            edge.Point(point.point_id, np.asarray(point.vector, np.float32), dict(point.payload))  # type: ignore[arg-type]  # takes arrays too
            for point in points
        ]
        with writing, _translated(f"writing to {collection}"):
            shard.update(edge.UpdateOperation.upsert_points(rows))
            shard.flush()

    def _delete(self, collection: str, point_ids: Collection[PointId]) -> None:
        found = self._shard(collection)
        if found is None:
            return
        shard, writing = found
        with writing, _translated(f"deleting from {collection}"):
            shard.update(edge.UpdateOperation.delete_points([*point_ids]))
            shard.flush()

    def _load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        found = self._shard(collection)
        if found is None or not point_ids:
            return {}
        with _translated(f"reading {collection}"):
            records = found[0].retrieve([*point_ids], with_payload=False, with_vector=True)
            return {PointId(str(r.id)): np.asarray(r.vector, np.float32) for r in records}

    def _nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        found = self._shard(collection)
        if found is None:
            return []
        asked = limit + _SPARE
        while True:
            with _translated(f"searching {collection}"):
                hits = _query(found[0], vector, where, asked)
            if is_settled(hits, limit, asked):
                return hits[:limit]
            asked *= 4

    def _count(self, collection: str, where: Where) -> int:
        found = self._shard(collection)
        if found is None:
            return 0
        with _translated(f"counting in {collection}"):
            counted: int = found[0].count(edge.CountRequest(exact=True, filter=_filter(where)))
        return counted

    def _close(self) -> None:
        with self._opening, _translated("closing"):
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
        with self._opening, _translated(f"opening {collection}"):
            if self._closed:
                raise StoreUnavailable("the vector store is closed")
            path = self._path(self._names.now().get(collection, collection))
            if path.name not in self._shards:
                if not path.exists():
                    return None
                self._shards[path.name] = edge.EdgeShard.load(str(path)), Lock()
            return self._shards[path.name]

    def _path(self, collection: str) -> Path:
        if collection.startswith(".") or "/" in collection:
            raise Fatal(f"{collection!r} cannot name a collection")
        return self._folder / collection


def _create(path: Path, dimension: int, keywords: Sequence[str], numbers: Sequence[str]) -> None:
    params = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
    shard = edge.EdgeShard.create(str(path), edge.EdgeConfig(vectors=params))
    kinds = dict.fromkeys(keywords, edge.PayloadSchemaType.Keyword)
    kinds |= dict.fromkeys(numbers, edge.PayloadSchemaType.Float)
    for name, kind in kinds.items():
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    shard.flush()
    shard.close()


def _query(shard: edge.EdgeShard, vector: Vector, where: Where, asked: int) -> list[Hit]:
    query = edge.Query.Nearest(np.asarray(vector, np.float32))  # type: ignore[arg-type]  # takes arrays too
    request = edge.QueryRequest(limit=asked, query=query, with_payload=True, filter=_filter(where))
    return best_first(
        Hit(PointId(str(found.id)), found.score, found.payload or {})
        for found in shard.query(request)
    )


def _filter(where: Where) -> edge.Filter | None:
    equal = [
        edge.FieldCondition(name, match=edge.MatchValue(value))
        for name, value in where.equals.items()
    ]
    reached = [
        edge.FieldCondition(name, range=edge.RangeFloat(gte=bound))
        for name, bound in where.at_least.items()
    ]
    return edge.Filter(must=[*equal, *reached]) if equal or reached else None
