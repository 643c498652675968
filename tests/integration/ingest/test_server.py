"""The HTTP interface on a real port, a real broker and a real MongoDB."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from services.contracts.errors import InvalidSettings
from services.ingest.http import build_http_app
from services.ingest.tokens import issue
from services.runtime.broker import BrokerAddress
from services.runtime.clock import SystemClock
from services.runtime.http_server import serving_http
from services.runtime.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.tokens_mongo import MongoTokenStore
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import METADATA, PREDICTIONS


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
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)


def app_on(database: Database, outbox: Outbox, folder: Path) -> FastAPI:
    return build_http_app(
        outbox=outbox,
        blobs=open_blobs(folder.as_uri()),
        ledger=MongoRevisionLedger(database, "broker"),
        tokens=MongoTokenStore(database),
        settings=Settings(max_body_bytes=1_000_000),
        clock=SystemClock(),
    )


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
