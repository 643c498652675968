"""Answers what other processes of this machine ask of an embedded stack's vectors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.contracts.errors import GazeloopError, StoreUnavailable
from services.contracts.identity import PointId
from services.domain.ports.vectors import VectorReader, Where
from services.runtime.stores.vectors_served import packed, unpacked

_Asked = Mapping[str, Any]


def vector_server(open_vectors: Callable[[], VectorReader], key: str) -> FastAPI:
    """The application that answers `ServedVectors`.

    Parameters
    ----------
    open_vectors : opens the vectors, once
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    expected = f"Bearer {key}".encode()

    @app.post("/{operation}")
    async def answer(operation: str, request: Request) -> Response:
        key = request.headers.get("Authorization", "").encode()
        if not compare_digest(key, expected):
            return Response("wrong key", HTTPStatus.UNAUTHORIZED)
        try:
            body = orjson.loads(await request.body())
            if operation == "scan":
                return StreamingResponse(_lines(open_vectors(), body))
            return Response(orjson.dumps(await _ANSWERS[operation](open_vectors(), body)))
        except StoreUnavailable as exc:
            return Response(str(exc), HTTPStatus.SERVICE_UNAVAILABLE)
        except GazeloopError as exc:
            return Response(str(exc), HTTPStatus.CONFLICT)

    return app


async def _collections(vectors: VectorReader, _: _Asked) -> list[str]:
    return await vectors.collections()


async def _aliases(vectors: VectorReader, _: _Asked) -> dict[str, str]:
    return await vectors.aliases()


async def _dimension(vectors: VectorReader, body: _Asked) -> int | None:
    return await vectors.dimension(body["collection"])


async def _load(vectors: VectorReader, body: _Asked) -> dict[PointId, str]:
    found = await vectors.load(body["collection"], body["point_ids"])
    return {point_id: packed(vector) for point_id, vector in found.items()}


async def _nearest(vectors: VectorReader, body: _Asked) -> list[list[tuple[object, ...]]]:
    rows = np.stack([unpacked(text) for text in body["vectors"]])
    where = Where(**body["where"])
    found = await vectors.nearest_batch(body["collection"], rows, where, body["limit"])
    return [[(hit.point_id, hit.similarity, hit.payload) for hit in hits] for hits in found]


async def _count(vectors: VectorReader, body: _Asked) -> int:
    return await vectors.count(body["collection"], Where(**body["where"]))


_ANSWERS: Final[Mapping[str, Callable[[VectorReader, _Asked], Awaitable[object]]]] = {
    "collections": _collections,
    "aliases": _aliases,
    "dimension": _dimension,
    "load": _load,
    "nearest": _nearest,
    "count": _count,
}


async def _lines(vectors: VectorReader, body: _Asked) -> AsyncIterator[bytes]:
    async for points in vectors.scan(body["collection"], body["at_once"]):
        rows = [(point.point_id, packed(point.vector), point.payload) for point in points]
        yield orjson.dumps(rows) + b"\n"
