# ruff: noqa: N802  # the methods have the names of Qdrant's services
"""The vector store by gRPC: what a server of Qdrant's services answers, on the wire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as qdrant

from services.contracts.errors import Fatal, GazeloopError, InvalidSettings, StoreUnavailable
from services.contracts.identity import PointId
from services.domain.ports.vectors import Point
from services.runtime.stores.vectors_client import ClientVectorStore, Layout

POINT = PointId("00000000-0000-0000-0000-000000000001")


class Points(qdrant.PointsServicer):
    """Answers every request for points with one code, and notes the indexes that it is to make."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        self.indexed: list[tuple[str, bool]] = []
        self._code = code

    async def _answer(self, context: Any, response: Any) -> Any:
        if self._code is not grpc.StatusCode.OK:
            await context.abort(self._code, "as the test says")
        return response

    async def Get(self, _: Any, context: Any) -> Any:
        return await self._answer(context, qdrant.GetResponse())

    async def Upsert(self, _: Any, context: Any) -> Any:
        return await self._answer(context, qdrant.PointsOperationResponse())

    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        tenant = request.field_index_params.keyword_index_params.is_tenant
        self.indexed.append((request.field_name, tenant))
        done = qdrant.UpdateResult(operation_id=1, status=qdrant.UpdateStatus.Completed)
        return await self._answer(context, qdrant.PointsOperationResponse(result=done))


class Collections(qdrant.CollectionsServicer):
    """Has no collection until one is created, which another process just did."""

    async def CollectionExists(self, _request: Any, _context: Any) -> Any:
        return qdrant.CollectionExistsResponse(result=qdrant.CollectionExists(exists=False))

    async def Create(self, _request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "another was faster")

    async def Get(self, _request: Any, _context: Any) -> Any:
        params = qdrant.VectorParams(size=2, distance=qdrant.Distance.Cosine)
        config = qdrant.CollectionConfig(
            params=qdrant.CollectionParams(vectors_config=qdrant.VectorsConfig(params=params)),
            hnsw_config=qdrant.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000),
            optimizer_config=qdrant.OptimizersConfigDiff(
                deleted_threshold=0.2,
                vacuum_min_vector_number=1000,
                default_segment_number=2,
                flush_interval_sec=5,
            ),
            wal_config=qdrant.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
        )
        info = qdrant.CollectionInfo(status=qdrant.CollectionStatus.Green, config=config)
        return qdrant.GetCollectionInfoResponse(result=info)


@asynccontextmanager
async def served(points: Points, layout: Layout | None = None) -> AsyncIterator[ClientVectorStore]:
    server = grpc.aio.server()
    qdrant.add_PointsServicer_to_server(points, server)  # type: ignore[no-untyped-call]  # generated
    qdrant.add_CollectionsServicer_to_server(Collections(), server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    store = ClientVectorStore.at("http://127.0.0.1:1", "", None, layout, port)
    try:
        yield store
    finally:
        await store.close()
        await server.stop(None)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, StoreUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, StoreUnavailable),
        (grpc.StatusCode.UNAUTHENTICATED, InvalidSettings),
        (grpc.StatusCode.PERMISSION_DENIED, InvalidSettings),
        (grpc.StatusCode.INVALID_ARGUMENT, Fatal),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
async def test_an_error_is_ours(code: grpc.StatusCode, error: type[GazeloopError]) -> None:
    async with served(Points(code)) as store:
        with pytest.raises(error, match=code.name):
            await store.load("regions", [POINT])


async def test_a_collection_that_is_not_there_has_no_points_and_takes_none() -> None:
    async with served(Points(grpc.StatusCode.NOT_FOUND)) as store:
        assert await store.load("regions", [POINT]) == {}
        with pytest.raises(Fatal, match="no collection regions"):
            await store.upsert("regions", [Point(POINT, np.array([1, 0], np.float32), {})])


async def test_points_of_a_tenant_lie_together_where_that_is_asked_for() -> None:
    points = Points()
    async with served(points, Layout(tenant="category")) as store:
        await store.ensure("regions", 2, keywords=("category", "split"), numbers=())
    assert sorted(points.indexed) == [("category", True), ("split", False)]
