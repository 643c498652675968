"""The vectors of a running stack, for other processes on its machine: read over HTTP.

Qdrant Edge has one owner. The owner serves a VectorReader's methods on a port of the
loopback address, protected by a key. The data folder has both, and only its user can read it.
"""

import base64
from collections.abc import AsyncIterator, Collection
from http import HTTPStatus
from typing import Any, Final, NoReturn, Self

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.identity import PointId
from services.domain.arrays import Vector, Vectors
from services.domain.ports.vectors import Hit, Point, Where

_TIMEOUT_S: Final = 300.0
"""A search of millions of exact vectors takes seconds."""


class ServedVectors:
    """The VectorReader of a running stack."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    def at(cls, url: str, key: str) -> Self:
        """The vectors at this address."""
        headers = {"Authorization": f"Bearer {key}"}
        return cls(httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S))

    async def collections(self) -> list[str]:
        found: list[str] = await self._ask("collections")
        return found

    async def aliases(self) -> dict[str, str]:
        found: dict[str, str] = await self._ask("aliases")
        return found

    async def dimension(self, collection: str) -> int | None:
        found: int | None = await self._ask("dimension", collection=collection)
        return found

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        found = await self._ask("load", collection=collection, point_ids=list(point_ids))
        return {PointId(key): unpacked(value) for key, value in found.items()}

    async def scan(self, collection: str, at_once: int) -> AsyncIterator[list[Point]]:
        asked = orjson.dumps({"collection": collection, "at_once": at_once})
        try:
            async with self._client.stream("POST", "/scan", content=asked) as answer:
                if answer.is_error:
                    await answer.aread()
                    _refuse(answer)
                async for line in answer.aiter_lines():
                    yield [
                        Point(PointId(point_id), unpacked(vector), payload)
                        for point_id, vector, payload in orjson.loads(line)
                    ]
        except httpx.HTTPError as exc:
            raise _away(exc) from exc

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        (hits,) = await self.nearest_batch(collection, vector.reshape(1, -1), where, limit)
        return hits

    async def nearest_batch(
        self, collection: str, vectors: Vectors, where: Where, limit: int
    ) -> list[list[Hit]]:
        if not len(vectors):
            return []
        found = await self._ask(
            "nearest",
            collection=collection,
            vectors=[packed(vector) for vector in vectors],
            where=_filter(where),
            limit=limit,
        )
        return [[Hit(PointId(hit[0]), hit[1], hit[2]) for hit in hits] for hits in found]

    async def count(self, collection: str, where: Where) -> int:
        found: int = await self._ask("count", collection=collection, where=_filter(where))
        return found

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, operation: str, **asked: object) -> Any:
        try:
            answer = await self._client.post(f"/{operation}", content=orjson.dumps(asked))
        except httpx.HTTPError as exc:
            raise _away(exc) from exc
        if answer.is_error:
            _refuse(answer)
        return orjson.loads(answer.content)


def _filter(where: Where) -> dict[str, object]:
    return {"equals": dict(where.equals), "at_least": dict(where.at_least)}


def packed(vector: NDArray[np.float32]) -> str:
    """A vector as text, of any process and machine."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def unpacked(text: str) -> Vector:
    """The vector of such a text."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def _refuse(answer: httpx.Response) -> NoReturn:
    if answer.status_code == HTTPStatus.CONFLICT:
        raise Fatal(answer.text)
    raise StoreUnavailable(f"the running stack's vectors: {answer.status_code} {answer.text}")


def _away(exc: httpx.HTTPError) -> StoreUnavailable:
    return StoreUnavailable(f"the running stack's vectors: {type(exc).__name__} {exc}")
