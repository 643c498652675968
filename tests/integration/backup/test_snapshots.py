"""Qdrant's snapshots: its API as documented, on loopback; the server itself where one is named."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest

from services.contracts.errors import DamagedBackup, InvalidSettings, StoreUnavailable
from services.contracts.identity import PointId
from services.domain.ports.vectors import Point, Where
from services.runtime.settings import Settings
from services.runtime.stores.vector_snapshots import QdrantSnapshots, same_minor, snapshots_of
from services.runtime.stores.vectors_open import open_vector_store

NODES = {"1": {"uri": "http://a"}, "2": {"uri": "http://b"}}


class Qdrant:
    """A server with collections whose content is their snapshot."""

    def __init__(self, **collections: bytes) -> None:
        self.collections = collections
        self.snapshots: dict[str, bytes] = {}
        self.peers: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}?{request.url.query.decode()}")
        match request.method, request.url.path.strip("/").split("/"):
            case "GET", [""] | ["cluster"]:
                facts = {"version": "1.15.3", "result": {"peers": self.peers}}
                return httpx.Response(200, json=facts)
            case "POST", ["collections", name, "snapshots"]:
                self.snapshots["a b"] = self.collections[name]
                return httpx.Response(200, json={"result": {"name": "a b"}})
            case "GET", ["collections", _, "snapshots", kept]:
                return httpx.Response(200, content=self.snapshots[kept])
            case "DELETE", ["collections", _, "snapshots", kept]:
                del self.snapshots[kept]
                return httpx.Response(200, json={"result": True})
            case "POST", ["collections", name, "snapshots", "upload"]:
                return self._upload(name, request.read())
        raise AssertionError(request)

    def _upload(self, name: str, body: bytes) -> httpx.Response:
        part = body.partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
        if part == b"broken":
            return httpx.Response(400, json={"status": {"error": "wrong input"}})
        self.collections[name] = part
        return httpx.Response(200, json={"result": True})


def snapshots(answer: Callable[[httpx.Request], httpx.Response]) -> QdrantSnapshots:
    transport = httpx.MockTransport(answer)
    return QdrantSnapshots(httpx.AsyncClient(transport=transport, base_url="http://qdrant"))


async def test_a_collection_becomes_what_its_snapshot_has(tmp_path: Path) -> None:
    qdrant = Qdrant(regions=b"points and indexes")
    server, path = snapshots(qdrant), tmp_path / "regions.snapshot"

    made = await server.save("regions", path)
    qdrant.collections.clear()
    await server.restore("regions", path)

    assert made.size == path.stat().st_size == len(b"points and indexes")
    assert qdrant.collections == {"regions": b"points and indexes"}
    assert qdrant.snapshots == {}  # none is left on the server's disk
    assert qdrant.requests[-1].endswith("upload?wait=true&priority=snapshot")


async def test_what_cannot_be_made_or_taken_back_is_said(tmp_path: Path) -> None:
    qdrant = Qdrant()
    (tmp_path / "broken").write_bytes(b"broken")
    with pytest.raises(DamagedBackup, match="400"):
        await snapshots(qdrant).restore("regions", tmp_path / "broken")
    qdrant.peers = NODES
    with pytest.raises(InvalidSettings, match="several nodes"):
        await snapshots(qdrant).version()
    with pytest.raises(InvalidSettings, match="API_KEY"):
        await snapshots(lambda _: httpx.Response(403)).version()
    with pytest.raises(InvalidSettings, match="a Qdrant server"):
        await snapshots(lambda _: httpx.Response(404)).version()
    with pytest.raises(StoreUnavailable, match="502"):
        await snapshots(lambda _: httpx.Response(502)).version()

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(StoreUnavailable, match="does not answer"):
        await snapshots(away).version()
    with pytest.raises(InvalidSettings, match="GAZELOOP_QDRANT"):
        async with snapshots_of(Settings()):
            pass


def test_only_the_same_minor_version_takes_a_snapshot_back() -> None:
    assert same_minor("1.15.3", "1.15.0")
    assert not same_minor("1.15.3", "1.16.3")


@pytest.mark.skipif("GAZELOOP_TEST_QDRANT" not in os.environ, reason="names no Qdrant server")
async def test_a_real_server_takes_its_snapshot_back(tmp_path: Path) -> None:
    settings = Settings(qdrant=os.environ["GAZELOOP_TEST_QDRANT"])
    name, vectors = f"test-{uuid4()}", open_vector_store(settings)
    await vectors.ensure(name, 2, keywords=["frame_id"], numbers=[])
    point = PointId(str(uuid4()))
    await vectors.upsert(name, [Point(point, np.ones(2, np.float32), {"frame_id": "f1"})])
    async with snapshots_of(settings) as server:
        await server.save(name, tmp_path / "a.snapshot")
        await vectors.delete(name, [point])
        await server.restore(name, tmp_path / "a.snapshot")
    assert await vectors.count(name, Where(equals={"frame_id": "f1"})) == 1
    await vectors.close()
