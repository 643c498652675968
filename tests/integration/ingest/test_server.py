"""The HTTP interface on a real port, a real broker and a real MongoDB."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from services.app.parts import App
from services.cli.work.questions import answer_label
from services.contracts.errors import InvalidSettings
from services.contracts.identity import FrameId, VehicleId
from services.formats.frames import OpenedFrame
from services.formats.items import FrameItem
from services.ground_truth.holding import CorrectionGate
from services.ingest.api.app import build_http_app
from services.ingest.batch_checks import BatchChecks
from services.ingest.batches import Batch
from services.ingest.correction_holder import CorrectionHolder
from services.ingest.parts import IngestParts
from services.runtime.clock import SystemClock
from services.runtime.http.server import serving_http
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.categories_mongo import MongoCategories
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.tokens_mongo import MongoTokenStore
from services.runtime.stores.tombstones_mongo import MongoTombstones
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import frame_matched
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import BOX, METADATA, PREDICTIONS


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"http-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


async def client_of(port: int, database: Database, scope: str) -> httpx.AsyncClient:
    token, record = issue(scope, SystemClock().now())
    await MongoTokenStore(database).add(record)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=240)


def app_on(database: Database, outbox: Outbox, folder: Path) -> FastAPI:
    clock, ledger = SystemClock(), MongoRevisionLedger(database, "broker")
    held, categories = MongoHeldCorrections(database), MongoCategories(database)
    parts = IngestParts(
        outbox=outbox,
        blobs=open_blobs(folder.as_uri()),
        ledger=ledger,
        frames=MongoFrameStore(database),
        tombstones=MongoTombstones(database),
        gate=CorrectionGate(held, categories, ledger, clock),
        settings=Settings(max_body_bytes=1_000_000),
        clock=clock,
    )
    holder = CorrectionHolder(parts.gate, ledger, MongoShortlistStore(database))
    return build_http_app(parts, tokens=MongoTokenStore(database), holder=holder)


TRUTH = {"frame_id": "v1:1", "annotations": [BOX]}
UNKNOWN = {"frame_id": "v1:1", "annotations": [BOX | {"category": "trafic sign"}]}


@pytest.fixture
async def stores(mongodb_url: str, tmp_path: Path) -> AsyncIterator[Stores]:
    name = f"http-{uuid4().hex[:8]}"
    settings = Settings(data=tmp_path, mongodb=mongodb_url, mongodb_database=name)
    async with open_stores(settings, "broker") as stores:
        await stores.matches.record([frame_matched("f1", category=str(BOX["category"]))])
        yield stores
    database = connect(mongodb_url, name)
    await database.client.drop_database(name)
    await database.client.close()


@asynccontextmanager
async def annotator(stores: Stores, outbox: Outbox) -> AsyncIterator[httpx.AsyncClient]:
    parts = IngestParts.of(stores, outbox, Settings(), SystemClock())
    holder = CorrectionHolder(parts.gate, stores.ledger, stores.shortlists)
    app = build_http_app(parts, tokens=stores.tokens, holder=holder)
    token, record = issue("annotation", SystemClock().now())
    await stores.tokens.add(record)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://ingest", headers=headers
    ) as client:
        yield client


async def test_a_correction_with_a_label_that_nobody_knows_is_held_until_it_is_answered(
    stores: Stores,
) -> None:
    outbox = InMemoryOutbox()
    async with annotator(stores, outbox) as client:

        async def post(truth: object) -> dict[str, Any]:
            answer = await client.post("/v1/ground-truth", json=truth)
            assert answer.status_code == 202
            found: dict[str, Any] = answer.json()
            return found

        first = await post(TRUTH)
        held = await post(UNKNOWN)
        assert (held["held"], held["unknown"]) == ("unknown_category", ["trafic sign"])
        assert await post(UNKNOWN) == held
        assert [event.event_id for event in outbox.published] == [first["event_id"]]

        await answer_label(commands_on(stores, outbox), "trafic sign", "", new=True)

        assert len(outbox.published) == 2
        assert (await post(UNKNOWN))["revision"] == 2
        assert (await post(TRUTH))["revision"] == 3
        assert (await post(UNKNOWN))["revision"] == 4


async def test_a_correction_with_such_a_label_is_held_also_where_it_calls_itself_an_import(
    stores: Stores,
) -> None:
    async with annotator(stores, InMemoryOutbox()) as client:
        await client.post("/v1/ground-truth", json=TRUTH)

        held = await client.post("/v1/ground-truth", json=UNKNOWN | {"annotation_source": "import"})

        assert held.json()["held"] == "unknown_category"


async def test_what_is_said_first_of_a_frame_may_name_what_nobody_has_named_before(
    stores: Stores,
) -> None:
    outbox = InMemoryOutbox()
    async with annotator(stores, outbox) as client:
        first = await client.post("/v1/ground-truth", json=UNKNOWN)
        again = await client.post("/v1/ground-truth", json=UNKNOWN)
        changed = UNKNOWN | {"annotations": [BOX | {"category": "yeild"}]}
        lines = "\n".join(
            json.dumps(document) for document in (changed, TRUTH | {"frame_id": "v1:2"})
        )
        many = await client.post(
            "/v1/ground-truth", content=lines, headers={"content-type": "application/x-ndjson"}
        )

    assert first.json() == again.json()
    assert first.json()["revision"] == 1
    answer = many.json()
    assert (answer["accepted"], answer["held"], answer["refused"]) == (1, 1, 0)
    assert [item["status"] for item in answer["results"]] == ["held", "accepted"]
    assert len({event.event_id for event in outbox.published}) == 2


async def test_a_newer_correction_takes_the_place_of_one_that_waits(stores: Stores) -> None:
    outbox = InMemoryOutbox()
    async with annotator(stores, outbox) as client:
        for truth in (TRUTH, UNKNOWN, TRUTH | {"annotations": []}):
            await client.post("/v1/ground-truth", json=truth)

    assert await stores.held.waiting() == []
    assert [getattr(event, "revision", 0) for event in outbox.published] == [1, 2]


async def test_of_several_lines_about_one_frame_the_last_one_counts(stores: Stores) -> None:
    headers = {"content-type": "application/x-ndjson"}
    async with annotator(stores, InMemoryOutbox()) as client:
        await client.post("/v1/ground-truth", json=TRUTH)
        nothing = TRUTH | {"annotations": []}
        for truths, waiting in (((UNKNOWN, nothing), 0), ((TRUTH, UNKNOWN), 1)):
            lines = "\n".join(map(json.dumps, truths))
            answer = await client.post("/v1/ground-truth", content=lines, headers=headers)
            assert (answer.json()["accepted"], answer.json()["held"]) == (1, 1)
            assert len(await stores.held.waiting()) == waiting


async def test_a_frame_of_a_file_that_says_nothing_of_its_ground_truth_asks_nothing(
    stores: Stores,
) -> None:
    item = FrameItem(FrameId("v1:1"), VehicleId("v1"), "coco.json:[0]", None)
    silent = OpenedFrame(item, None, (), ())

    parts = IngestParts.of(stores, InMemoryOutbox(), Settings(), SystemClock())
    passing = await BatchChecks(parts, "import").without_held(Batch([silent], []))

    assert (passing.frames, passing.held) == ([silent], [])


def commands_on(stores: Stores, outbox: Outbox) -> App:
    """The commands' view; they use no more of it."""
    return cast("App", SimpleNamespace(stores=stores, outbox=outbox))


def stored_in(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


async def test_a_vehicle_publishes_over_the_wire(
    database: Database, memory_broker: BrokerAddress, tmp_path: Path
) -> None:
    outbox = KafkaOutbox("ingest", memory_broker, Settings())
    app = app_on(database, outbox, tmp_path)
    async with (
        serving_http(app, "127.0.0.1", 0, drain_s=5) as port,
        await client_of(port, database, "vehicle:v1") as client,
    ):
        frames = await asyncio.gather(
            *(
                client.post(
                    "/v1/frames",
                    files={"image": ("a.jpg", jpeg(number), "image/jpeg")},
                    data={"metadata": json.dumps(METADATA | {"frame_id": f"v1:{number}"})},
                )
                for number in range(20)
            )
        )
        predictions = await client.post("/v1/predictions", json=PREDICTIONS)
        endless = await client.post("/v1/predictions", content=bytes(2_000_000))
    await outbox.close()

    assert {response.status_code for response in frames} == {202}
    assert predictions.json()["revision"] == 1
    assert endless.status_code == 413
    assert stored_in(tmp_path) == 20


async def test_writers_of_one_frame_at_once_agree(
    database: Database, memory_broker: BrokerAddress, tmp_path: Path
) -> None:
    outbox = KafkaOutbox("ingest", memory_broker, Settings())
    app = app_on(database, outbox, tmp_path)
    async with (
        serving_http(app, "127.0.0.1", 0, drain_s=5) as port,
        await client_of(port, database, "vehicle:v1") as client,
    ):
        records = [PREDICTIONS | {"detections": PREDICTIONS["detections"] * n} for n in range(8)]
        answers = await asyncio.gather(
            *(client.post("/v1/predictions", json=record) for record in records)
        )
    await outbox.close()

    assert sorted(answer.json()["revision"] for answer in answers) == list(range(1, 9))


async def test_a_database_that_is_away_is_a_503(database: Database, tmp_path: Path) -> None:
    away = connect("mongodb://127.0.0.1:1", "nothing")
    app = app_on(away, InMemoryOutbox(), tmp_path)
    async with (
        serving_http(app, "127.0.0.1", 0, drain_s=5) as port,
        await client_of(port, database, "vehicle:v1") as client,
    ):
        response = await client.post("/v1/predictions", json=PREDICTIONS)
    await away.client.close()

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "127.0.0.1" not in response.text


async def test_a_taken_port_is_a_wrong_setting() -> None:
    app = FastAPI()
    async with serving_http(app, "127.0.0.1", 0, drain_s=1) as port:
        with pytest.raises(InvalidSettings, match="GAZELOOP_HTTP_PORT"):
            async with serving_http(app, "127.0.0.1", port, drain_s=1):
                pass
