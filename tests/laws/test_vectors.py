"""What every VectorStore does: the fake, Qdrant Edge, and qdrant-client in its local mode.

And a server, where GAZELOOP_TEST_QDRANT names one.
"""

import asyncio
import fcntl
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree, move, rmtree
from types import ModuleType
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_client.common.client_exceptions
import qdrant_client.http.exceptions
import qdrant_edge
from httpx import ASGITransport, AsyncClient, Headers
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from services.contracts.errors import Fatal, GazeloopError, InvalidSettings, StoreUnavailable
from services.contracts.identity import ModelId, PointId
from services.domain.arrays import Vector
from services.domain.ports.vectors import (
    REGION_VECTORS,
    Point,
    Quantization,
    VectorStore,
    Where,
    collection_of,
    models_of,
)
from services.runtime.http.vector_server import vector_server
from services.runtime.settings import Settings
from services.runtime.stores.timed import TimedVectors
from services.runtime.stores.vectors_client import ClientVectorStore, Layout
from services.runtime.stores.vectors_client_errors import translate
from services.runtime.stores.vectors_edge import EdgeVectorStore
from services.runtime.stores.vectors_edge_copy import copy_edge
from services.runtime.stores.vectors_edge_names import EdgeNames
from services.runtime.stores.vectors_open import open_vector_store
from services.runtime.stores.vectors_served import ServedVectors
from tests.disks import mounted
from tests.fakes.vectors import InMemoryVectors
from tests.qdrant_server import KEY, URL, emptied_server

pytestmark = [
    # A server has payload indexes, and quantises.
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


LOCAL = (
    *("in_memory", "edge", "edge_int8", "client_in_memory", "client_int8", "client_on_disk"),
    "served",
)
SERVER = ("server", "server_int8") if URL else ()


@pytest.fixture
def server() -> Iterator[None]:
    with emptied_server():
        yield


@pytest.fixture(params=[*LOCAL, *SERVER])
async def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorStore]:
    store: VectorStore
    if request.param in SERVER:
        request.getfixturevalue("server")
    match request.param:
        case "server":
            store = ClientVectorStore.at(URL, KEY)
        case "server_int8":
            store = ClientVectorStore.at(URL, KEY, layout=Layout(Quantization.INT8))
        case "in_memory":
            store = InMemoryVectors()
        case "edge":
            store = EdgeVectorStore.open(tmp_path)
        case "edge_int8":
            store = EdgeVectorStore.open(tmp_path, Quantization.INT8)
        case "served":
            store = WrittenByItsOwner(EdgeVectorStore.open(tmp_path))
        case "client_in_memory":
            store = ClientVectorStore(AsyncQdrantClient(":memory:"))
        case "client_int8":
            store = ClientVectorStore(AsyncQdrantClient(":memory:"), Layout(Quantization.INT8))
        case _:
            store = ClientVectorStore(AsyncQdrantClient(path=str(tmp_path)))
    await store.ensure("signs", 3, keywords=["category", "split"], numbers=["score"])
    yield store
    await store.close()


class WrittenByItsOwner(ServedVectors):
    """What the owner writes and another process reads."""

    def __init__(self, owner: VectorStore) -> None:
        transport = ASGITransport(app=vector_server(lambda: owner, "key"))
        headers = {"Authorization": "Bearer key"}
        client = AsyncClient(transport=transport, base_url="http://stack", headers=headers)
        super().__init__(client)
        self._owner = owner
        self.ensure, self.alias = owner.ensure, owner.alias
        self.upsert, self.drop = owner.upsert, owner.drop
        self.delete, self.delete_others = owner.delete, owner.delete_others

    async def close(self) -> None:
        await super().close()
        await self._owner.close()


async def test_another_process_reads_with_the_key_only() -> None:
    server = vector_server(InMemoryVectors, "key")
    for header in ("Bearer other", ""):
        transport = ASGITransport(app=server)
        headers = {"Authorization": header}
        client = AsyncClient(transport=transport, base_url="http://stack", headers=headers)
        stranger = ServedVectors(client)
        with pytest.raises(StoreUnavailable, match="wrong key"):
            await stranger.aliases()
        with pytest.raises(StoreUnavailable, match="wrong key"):
            [_ async for _ in stranger.scan("signs", 5)]
        await stranger.close()


def point_id(number: int) -> PointId:
    return PointId(str(UUID(int=number)))


def vector(*values: float) -> Vector:
    return np.asarray(values, np.float32)


def point(number: int, *values: float, **payload: str | float | None) -> Point:
    return Point(point_id(number), vector(*values), payload)


async def numbers_near(
    store: VectorStore, query: Vector, where: Where | None = None, limit: int = 10
) -> list[int]:
    hits = await store.nearest("signs", query, where or Where(), limit)
    return [UUID(hit.point_id).int for hit in hits]


async def test_several_vectors_find_what_each_of_them_finds(vectors: VectorStore) -> None:
    # Of equals at the last place, more than are asked for: they are settled one by one.
    same = [point(number, 0, 0, 1, category="stop") for number in range(20, 40)]
    other = [point(3, 1, 0.5, 0, category="yield"), point(4, 0.5, 1, 0, category="stop")]
    await vectors.upsert("signs", [point(1, 1, 0, 0, category="stop"), *other, *same])
    queries = np.stack([vector(2, 1, 0), vector(0, 0, 3), vector(0, 1, 0)])
    stop = Where(equals={"category": "stop"})
    for limit in (0, 1, 3, 30):
        for where in (Where(), stop):
            batch = await vectors.nearest_batch("signs", queries, where, limit)
            assert batch == [await vectors.nearest("signs", q, where, limit) for q in queries]
    assert [UUID(hit.point_id).int for hit in batch[0]][:2] == [1, 4]
    assert await vectors.nearest_batch("signs", queries[:0], stop, 3) == []
    assert await vectors.nearest_batch("lamps", queries, stop, 3) == [[], [], []]


async def test_the_most_similar_come_first_whatever_their_lengths(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 0, 9, 0), point(2, 1, 1, 0), point(3, 0.01, 0, 0)])

    hits = await vectors.nearest("signs", vector(5, 0, 0), Where(), 3)

    assert [UUID(hit.point_id).int for hit in hits] == [3, 2, 1]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0.5**0.5, 0], abs=1e-6)


async def test_a_hit_carries_its_payload(vectors: VectorStore) -> None:
    payload: dict[str, str | float | None] = {"category": "stop", "score": 0.5, "drive_id": None}
    await vectors.upsert("signs", [point(1, 1, 0, 0, **payload)])

    [hit] = await vectors.nearest("signs", vector(1, 0, 0), Where(), 3)

    assert dict(hit.payload) == payload


async def test_writing_an_id_again_replaces_its_vector_and_payload(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 1, 0, 0, category="stop", score=0.9)])
    await vectors.upsert("signs", [point(1, 0, 1, 0, category="light")])

    [hit] = await vectors.nearest("signs", vector(0, 1, 0), Where(), 10)

    assert hit.similarity == pytest.approx(1)
    assert dict(hit.payload) == {"category": "light"}


async def test_loaded_vectors_are_of_unit_length(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 3, 0, 4), point(2, 0, 1, 0)])

    loaded = await vectors.load("signs", [point_id(1), point_id(2), point_id(7)])

    assert loaded.keys() == {point_id(1), point_id(2)}
    assert loaded[point_id(1)] == pytest.approx([0.6, 0, 0.8])
    assert loaded[point_id(1)].dtype == np.float32


async def test_a_scan_yields_every_point_once_in_the_order_of_ids(vectors: VectorStore) -> None:
    await vectors.upsert(
        "signs",
        [
            point(number, 3, number, 1, category="stop", score=number / 2)
            for number in range(9, 0, -1)
        ],
    )
    pages = [page async for page in vectors.scan("signs", 4)]

    assert [UUID(p.point_id).int for page in pages for p in page] == list(range(1, 10))
    assert [len(page) for page in pages] == [4, 4, 1]
    last = pages[-1][0]
    assert last.payload == {"category": "stop", "score": 4.5}
    (stored,) = (await vectors.load("signs", [last.point_id])).values()
    np.testing.assert_array_equal(last.vector, stored)


async def test_a_scan_of_nothing_yields_nothing(vectors: VectorStore) -> None:
    assert [page async for page in vectors.scan("lamps", 4) if page] == []
    assert [page async for page in vectors.scan("signs", 4) if page] == []


async def test_deleted_points_are_gone_and_deleting_again_is_fine(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 1, 0, 0), point(2, 0, 1, 0)])
    for _ in range(2):
        await vectors.delete("signs", [point_id(1), point_id(5)])

    assert await numbers_near(vectors, vector(1, 0, 0)) == [2]
    assert await vectors.load("signs", [point_id(1)]) == {}


async def test_others_that_pass_a_filter_are_deleted(vectors: VectorStore) -> None:
    stop, light = {"category": "stop"}, {"category": "light"}
    points = [point(1, 1, 0, 0, **stop), point(2, 0, 1, 0, **stop), point(3, 0, 1, 0, **light)]
    await vectors.upsert("signs", points)
    where = Where(equals=stop)
    for _ in range(2):
        await vectors.delete_others("signs", where, {point_id(2), point_id(5)})
        assert sorted(await numbers_near(vectors, vector(1, 0, 0))) == [2, 3]

    await vectors.delete_others("lamps", where, set())
    await vectors.delete_others("signs", where, set())
    assert await numbers_near(vectors, vector(1, 0, 0)) == [3]


async def test_filters_ask_for_all_equal_fields_and_reached_bounds(vectors: VectorStore) -> None:
    await vectors.upsert(
        "signs",
        [
            point(1, 1, 0, 0, category="stop", split="haystack", score=0.3),
            point(2, 1, 0, 0, category="stop", split="haystack", score=0.5),
            point(3, 1, 0, 0, category="stop", split="reference", score=0.9),
            point(4, 1, 0, 0, category="light", split="haystack", score=0.9),
            point(5, 1, 0, 0, category="stop", split="haystack"),
        ],
    )
    where = Where(equals={"category": "stop", "split": "haystack"}, at_least={"score": 0.5})

    assert await numbers_near(vectors, vector(1, 0, 0), where) == [2]
    assert await numbers_near(vectors, vector(1, 0, 0), Where(at_least={"score": 0.5})) == [2, 3, 4]


async def test_counting_asks_for_the_same_as_searching(vectors: VectorStore) -> None:
    await vectors.upsert(
        "signs",
        [
            point(1, 1, 0, 0, category="stop", score=0.9),
            point(2, 1, 0, 0, category="stop", score=0.4),
            point(3, 1, 0, 0, category="yield", score=0.9),
        ],
    )
    assert await vectors.count("signs", Where()) == 3
    assert await vectors.count("signs", Where({"category": "stop"}, {"score": 0.5})) == 1
    assert await vectors.count("no such collection", Where()) == 0


async def test_a_whole_number_reaches_a_bound_too(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 1, 0, 0, score=1), point(2, 1, 0, 0, score=0)])

    assert await numbers_near(vectors, vector(1, 0, 0), Where(at_least={"score": 0.5})) == [1]


async def test_ties_come_in_the_order_of_ids_wherever_the_limit_cuts(vectors: VectorStore) -> None:
    ids = np.random.default_rng(0).permutation(np.arange(1, 101))
    for part in np.split(ids, 4):
        await vectors.upsert("signs", [point(int(number), 1, 2, 3) for number in part])
    await vectors.upsert("signs", [point(500, 3, 2, 1)])

    for limit in (1, 5, 99):
        assert await numbers_near(vectors, vector(1, 2, 3), limit=limit) == [*range(1, limit + 1)]
    assert await numbers_near(vectors, vector(3, 2, 1), limit=3) == [500, 1, 2]


async def test_asking_for_none_finds_none(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 1, 0, 0)])

    assert await numbers_near(vectors, vector(1, 0, 0), limit=0) == []


async def test_writing_nothing_is_fine(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [])
    await vectors.delete("signs", [])

    assert await vectors.load("signs", []) == {}


async def test_ensuring_again_keeps_what_is_there(vectors: VectorStore) -> None:
    await vectors.upsert("signs", [point(1, 1, 0, 0)])
    await vectors.ensure("signs", 3, keywords=["category", "split"], numbers=["score"])

    assert await numbers_near(vectors, vector(1, 0, 0)) == [1]


async def test_a_collection_says_how_many_numbers_its_vectors_have(vectors: VectorStore) -> None:
    await vectors.alias({"named": "signs"})
    names = ("signs", "named", "nowhere")
    assert [await vectors.dimension(name) for name in names] == [3, 3, None]


async def test_another_dimension_for_a_collection_is_refused(vectors: VectorStore) -> None:
    with pytest.raises(InvalidSettings, match="3 dimensions"):
        await vectors.ensure("signs", 4, keywords=[], numbers=[])
    with pytest.raises(Fatal):
        await vectors.upsert("signs", [Point(point_id(1), vector(1, 0), {})])


async def test_a_dropped_collection_is_gone_and_may_be_made_again(vectors: VectorStore) -> None:
    await vectors.ensure("other", 2, keywords=[], numbers=[])
    await vectors.upsert("signs", [point(1, 1, 0, 0)])

    await vectors.drop(["signs", "nothing"])
    await vectors.drop(["signs"])

    assert await vectors.collections() == ["other"]
    assert await vectors.load("signs", [point_id(1)]) == {}
    await vectors.ensure("signs", 2, keywords=["category"], numbers=[])
    assert await vectors.count("signs", Where()) == 0


async def test_edge_deletes_what_an_interrupted_drop_left(tmp_path: Path) -> None:
    store = EdgeVectorStore.open(tmp_path)
    await store.ensure("signs", 3, keywords=[], numbers=[])
    await store.close()
    move(tmp_path / "signs", tmp_path / ".signs.dropped")

    again = EdgeVectorStore.open(tmp_path)
    assert await again.collections() == []
    await again.close()

    assert not (tmp_path / ".signs.dropped").is_dir()


async def test_a_collection_that_does_not_exist_is_empty_but_takes_no_points(
    vectors: VectorStore,
) -> None:
    assert await vectors.nearest("lamps", vector(1, 0, 0), Where(), 5) == []
    assert await vectors.load("lamps", [point_id(1)]) == {}
    await vectors.delete("lamps", [point_id(1)])
    with pytest.raises(Fatal, match="lamps"):
        await vectors.upsert("lamps", [point(1, 1, 0, 0)])


async def test_an_alias_stands_for_its_collection_and_can_move(vectors: VectorStore) -> None:
    old, new = (collection_of(REGION_VECTORS, ModelId(model)) for model in ("net-a", "net-b"))
    for collection, dimension in ((old, 3), (new, 2)):
        await vectors.ensure(collection, dimension, keywords=["category"], numbers=[])
    await vectors.alias({REGION_VECTORS: old})
    await vectors.upsert(REGION_VECTORS, [point(1, 1, 0, 0)])
    await vectors.upsert(new, [Point(point_id(2), vector(1, 0), {})])

    assert (await vectors.load(REGION_VECTORS, [point_id(1), point_id(2)])).keys() == {point_id(1)}
    assert (await vectors.load(old, [point_id(1)])).keys() == {point_id(1)}

    await vectors.alias({REGION_VECTORS: new})

    assert await vectors.aliases() == {REGION_VECTORS: new}
    [hit] = await vectors.nearest(REGION_VECTORS, vector(1, 0), Where(), 5)
    assert hit.point_id == point_id(2)


async def test_aliases_move_together_and_move_back(vectors: VectorStore) -> None:
    old, new = ({"frames": f"frames-{m}", "regions": f"regions-{m}"} for m in ("a", "b"))
    for collection in (*old.values(), *new.values()):
        await vectors.ensure(collection, 3, keywords=[], numbers=[])
    for names in (old, new, old):
        await vectors.alias(names)

        assert await vectors.aliases() == names
    assert set(await vectors.collections()) == {"signs", *old.values(), *new.values()}
    assert models_of(await vectors.collections()) == ["a", "b"]


# Qdrant Edge alone


async def test_an_alias_of_edge_moves_while_another_process_owns_the_points(
    tmp_path: Path,
) -> None:
    store = EdgeVectorStore.open(tmp_path)
    for number, collection in enumerate(("regions-a", "regions-b")):
        await store.ensure(collection, 3, keywords=[], numbers=[])
        await store.upsert(collection, [point(number, 1, 0, 0)])
    await store.alias({"regions": "regions-a"})
    found = []
    for collection in ("regions-b", "regions-a"):
        await EdgeNames(tmp_path).alias({"regions": collection})
        found += await store.nearest("regions", vector(1, 0, 0), Where(), 5)
    await store.close()

    assert [hit.point_id for hit in found] == [point_id(1), point_id(0)]


async def test_edge_keeps_points_and_aliases_when_it_is_opened_again(tmp_path: Path) -> None:
    store = EdgeVectorStore.open(tmp_path)
    await store.ensure("signs", 3, keywords=["category"], numbers=["score"])
    await store.alias({"live": "signs"})
    await store.upsert("signs", [point(1, 1, 0, 0, category="stop"), point(2, 0, 1, 0)])
    await store.delete("signs", [point_id(2)])
    await store.close()

    again = EdgeVectorStore.open(tmp_path)
    hits = await again.nearest("live", vector(1, 0, 0), Where(equals={"category": "stop"}), 5)
    await again.close()

    assert [hit.point_id for hit in hits] == [point_id(1)]


async def test_edge_is_copied_while_it_is_open_and_the_copy_has_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    store = EdgeVectorStore.open(tmp_path / "edge")
    await store.ensure("signs", 3, keywords=[], numbers=[])
    await store.upsert("signs", [point(number, number, 1, 0) for number in range(1, 6)])
    await store.alias({"live": "signs"})

    await asyncio.to_thread(copy_edge, tmp_path / "edge", tmp_path / "copy")

    await store.delete("signs", [point_id(1)])
    copied = EdgeVectorStore.open(tmp_path / "copy")
    assert [UUID(p.point_id).int async for page in copied.scan("live", 2) for p in page] == [
        *range(1, 6)
    ]
    await copied.close()
    await store.close()


async def test_writes_to_edge_wait_while_another_process_copies_it(tmp_path: Path) -> None:
    store = EdgeVectorStore.open(tmp_path)
    await store.ensure("signs", 3, keywords=[], numbers=[])
    with (tmp_path / ".writes.lock").open("a") as copying:
        fcntl.flock(copying, fcntl.LOCK_EX)
        write = asyncio.create_task(store.upsert("signs", [point(1, 1, 0, 0)]))
        assert await store.count("signs", Where()) == 0
        assert not write.done()
    await write
    assert await store.count("signs", Where()) == 1
    await store.close()


async def test_edge_finds_the_nearest_among_quantised_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.stores.vectors_edge._QUANTISE_FROM", 6000)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((6000, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store = EdgeVectorStore.open(tmp_path, Quantization.INT8)
    await store.ensure("signs", 64, keywords=["category"], numbers=[])
    await store.upsert(
        "signs", [point(n, *row.tolist(), category="stop") for n, row in enumerate(rows)]
    )
    segments = list((tmp_path / "signs").rglob("quantized.data"))

    found = 0
    for query in rows[:50]:
        hits = await store.nearest("signs", query, Where({"category": "stop"}), 10)
        similar = rows @ query
        best = np.argsort(-similar)[:10]
        found += len({UUID(hit.point_id).int for hit in hits} & {*best.tolist()})
        assert [hit.similarity for hit in hits] == pytest.approx(
            sorted(similar[[UUID(hit.point_id).int for hit in hits]], reverse=True), abs=1e-5
        )
    await store.close()

    assert segments
    assert found >= 495


async def test_edge_quantises_what_little_was_written_when_it_is_opened_again(
    tmp_path: Path,
) -> None:
    rows = np.random.default_rng(0).standard_normal((6000, 64)).astype(np.float32)
    points = [point(number, *row.tolist()) for number, row in enumerate(rows)]
    store = EdgeVectorStore.open(tmp_path, Quantization.INT8)
    await store.ensure("signs", 64, keywords=[], numbers=[])
    await store.upsert("signs", points)
    await store.close()
    before = list((tmp_path / "signs").rglob("quantized.data"))

    again = EdgeVectorStore.open(tmp_path)
    count = await again.count("signs", Where())
    await again.close()

    assert before == []
    assert count == 6000
    assert list((tmp_path / "signs").rglob("quantized.data"))


async def test_edge_that_is_closed_says_so(tmp_path: Path) -> None:
    store = EdgeVectorStore.open(tmp_path)
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.load("signs", [point_id(1)])


WRITER = """
import asyncio, sys
import numpy as np
from pathlib import Path
from uuid import UUID
from services.domain.ports.vectors import Point
from services.runtime.stores.vectors_edge import EdgeVectorStore

async def main():
    store = EdgeVectorStore.open(Path(sys.argv[1]))
    await store.ensure("signs", 8, keywords=["category"], numbers=["score"])
    rng = np.random.default_rng(0)
    for number in range(int(sys.argv[2]), 1_000_000):
        vector = rng.normal(size=8).astype(np.float32)
        point = Point(str(UUID(int=number)), vector, {"category": "stop", "score": 0.5})
        await store.upsert("signs", [point])
        print(number, flush=True)

asyncio.run(main())
"""


@contextmanager
def writer(folder: Path, start: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WRITER, str(folder), str(start)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_edge_finds_in_its_log_what_was_acknowledged_and_reached_the_disk_nowhere_else(
    tmp_path: Path,
) -> None:
    store = EdgeVectorStore.open(tmp_path / "live")
    await store.ensure("signs", 3, keywords=["category"], numbers=[])
    await store.upsert("signs", [point(n, n, 1, 0, category="stop") for n in range(100)])
    await store.close()
    copytree(tmp_path / "live", tmp_path / "after-the-crash")
    store = EdgeVectorStore.open(tmp_path / "live")
    await store.upsert("signs", [point(n, n, 1, 0, category="stop") for n in range(100, 200)])
    await store.upsert("signs", [point(7, 0, 0, 1, category="yield")])
    log = tmp_path / "after-the-crash" / "signs" / "wal"
    rmtree(log)
    copytree(tmp_path / "live" / "signs" / "wal", log)
    await store.close()

    again = EdgeVectorStore.open(tmp_path / "after-the-crash")
    assert await again.count("signs", Where({"category": "stop"})) == 199
    assert await numbers_near(again, vector(0, 0, 1), limit=1) == [7]
    assert len(await again.load("signs", [point_id(n) for n in range(200)])) == 200
    await again.close()


async def test_edge_loses_nothing_acknowledged_when_its_process_is_killed(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for _ in range(3):
        acknowledged += _acknowledged_until_killed(tmp_path, len(acknowledged))

    assert len(acknowledged) >= 120
    await _assert_there(tmp_path, acknowledged)


async def test_edge_loses_nothing_acknowledged_when_the_power_fails(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with mounted(tmp_path / "disk", 400 << 20) as disk:
        if disk is None:
            pytest.skip("no disk can be mounted here")
        folder = disk.path / "vectors"
        for _ in range(3):
            acknowledged += _acknowledged_until_killed(folder, len(acknowledged), disk.cut_power)
            disk.unmount()
            disk.mount()

        assert len(acknowledged) >= 120
        await _assert_there(folder, acknowledged)


def _acknowledged_until_killed(
    folder: Path, start: int, before: Callable[[], None] = lambda: None
) -> list[int]:
    """The points from a number on, 40 and more, that were written when the writer was killed."""
    acknowledged: list[int] = []
    with writer(folder, start) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == 40:
                break
        before()
        os.kill(process.pid, signal.SIGKILL)
        return acknowledged + [int(line) for line in process.stdout]


async def _assert_there(folder: Path, numbers: Sequence[int]) -> None:
    store = EdgeVectorStore.open(folder)
    ids = [point_id(number) for number in numbers]
    found = await store.nearest("signs", np.ones(8, np.float32), Where({"category": "stop"}), 10**4)
    loaded = await store.load("signs", ids)
    await store.close()

    assert loaded.keys() == set(ids)
    assert {hit.point_id for hit in found} >= set(ids)


def test_two_processes_on_one_edge_folder_get_a_clear_error(tmp_path: Path) -> None:
    with writer(tmp_path, 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(InvalidSettings, match="one owner"):
            EdgeVectorStore.open(tmp_path)


async def test_an_edge_collection_cannot_leave_its_folder(tmp_path: Path) -> None:
    store = EdgeVectorStore.open(tmp_path / "inside")
    with pytest.raises(Fatal, match="cannot name"):
        await store.ensure("../outside", 3, keywords=[], numbers=[])
    await store.close()

    assert not (tmp_path / "outside").exists()


# Errors, and the choice of a store


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception)
    ]


CLIENT_MODULES = (qdrant_client.http.exceptions, qdrant_client.common.client_exceptions)
UNAVAILABLE = {"ResponseHandlingException", "ResourceExhaustedResponse"}


@pytest.mark.parametrize("driver_error", [e for m in CLIENT_MODULES for e in exceptions_of(m)])
def test_every_exception_of_the_client_becomes_ours(driver_error: type[Exception]) -> None:
    assert issubclass(driver_error, QdrantException | ApiException)
    # Without its constructor's arguments; what differs by them is tested below.
    silent: Any = type("Silent", (driver_error,), {"__str__": lambda _: "", "status_code": None})
    error = translate(silent.__new__(silent), "testing")

    assert isinstance(error, StoreUnavailable if driver_error.__name__ in UNAVAILABLE else Fatal)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Fatal),
        (401, InvalidSettings),
        (403, InvalidSettings),
        (408, StoreUnavailable),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_a_servers_answer_is_sorted_by_whether_trying_again_helps(
    status: int, expected: type[GazeloopError]
) -> None:
    assert type(translate(UnexpectedResponse(status, "no", b"", Headers()), "testing")) is expected


def test_edge_still_raises_nothing_but_bare_exceptions() -> None:
    # Its errors are told apart by their text; classes of its own would tell them better.
    assert exceptions_of(qdrant_edge) == []


async def test_a_server_that_does_not_answer_is_unavailable() -> None:
    store = ClientVectorStore.at("http://127.0.0.1:1", "")
    try:
        with pytest.raises(StoreUnavailable):
            await store.upsert("signs", [point(1, 1, 0, 0)])
        with pytest.raises(StoreUnavailable):
            await store.aliases()
    finally:
        await store.close()


async def test_the_settings_choose_between_edge_and_a_server(tmp_path: Path) -> None:
    embedded = open_vector_store(Settings(data=tmp_path))
    served = open_vector_store(Settings(data=tmp_path, qdrant="http://127.0.0.1:1"))
    await embedded.close()
    await served.close()

    assert isinstance(embedded, TimedVectors)
    assert isinstance(embedded._vectors, EdgeVectorStore)
    assert isinstance(served, TimedVectors)
    assert isinstance(served._vectors, ClientVectorStore)
    assert (tmp_path / "qdrant").is_dir()


async def test_new_collections_are_laid_out_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = AsyncQdrantClient(":memory:")
    create, asked = client.create_collection, dict[str, object]()

    async def noted(collection: str, **layout: Any) -> bool:
        asked.update(layout)
        return await create(collection, **layout)

    monkeypatch.setattr(client, "create_collection", noted)
    store = ClientVectorStore(client, Layout(shards=6, replicas=2))
    await store.ensure("regions", 4, keywords=[], numbers=[])

    assert (asked["shard_number"], asked["replication_factor"]) == (6, 2)
    assert await store.dimension("regions") == 4
    await store.close()
