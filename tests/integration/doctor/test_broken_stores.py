"""Stores that have lost something, are almost full, or were written by somebody else."""

import asyncio
import json
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from services.annotation.stores.opening import open_annotation_stores
from services.app.doctor.examining import examine
from services.app.doctor.finding import Finding
from services.cli.main import app as command_line
from services.contracts.events import FrameCaptured
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Where, collection_of
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from services.runtime.stores.mongo import connect_as_set
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.stores.retention_mongo import MongoRetention
from services.runtime.stores.vectors_open import open_vector_store
from tests import samples
from tests.integration.doctor.conftest import errors, findings_of, settings_for
from tests.integration.security.qdrant import KEY, READING_KEY, Qdrant
from tests.unit.ingest.datasets import jpeg

BOX = (4.0, 4.0, 20.0, 20.0)


@pytest.fixture
async def settings(
    kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> AsyncIterator[Settings]:
    """A deployment of its own database."""
    name = f"doctor-{uuid4().hex[:8]}"
    small = {"embedder": "gazeloop-small", "embed_runtime": "torch"}  # it is loaded several times
    settings = settings_for(kafka, mongodb_url, tmp_path / "data", mongodb_database=name, **small)
    yield settings
    database = connect_as_set(settings)
    await database.client.drop_database(name)
    await database.client.close()


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    async with open_stores(settings, "any broker") as stores:
        await open_annotation_stores(stores)
        yield stores


@pytest.fixture
def stand_in() -> Iterator[str]:
    """Something that speaks as a Qdrant server with keys does: no registry has its server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Qdrant) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Usage(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    used: int
    free: int


def captured(stores: Stores, number: int) -> FrameCaptured:
    frame = samples.frame_captured(f"f{number}")
    uri = stores.blobs.put(jpeg(number))
    return frame.model_copy(update={"image": frame.image.model_copy(update={"uri": uri})})


async def look(settings: Settings, *, model: bool = False) -> list[Finding]:
    return await examine(settings, SystemClock(), model=model)


def given(settings: Settings) -> list[str]:
    """The same on the command line."""
    parts = ("kafka", "mongodb", "mongodb_database", "data", "qdrant")
    names = (*parts, "embedder", "embed_runtime")
    return [f"--set={name}={getattr(settings, name)}" for name in names]


def gazeloop(settings: Settings, *command: str) -> Result:
    """What a command did."""
    root = logging.getLogger()
    before = root.handlers
    try:
        return CliRunner().invoke(command_line, [*given(settings), *command])
    finally:
        # Its log is a process's own, and is closed with that.
        for handler in root.handlers:
            if isinstance(handler, logging.StreamHandler) and handler not in before:
                handler.stream.close()
        root.handlers = before
        structlog.reset_defaults()


async def survey(stores: Stores, model: ModelId) -> None:
    """Three frames of which MongoDB says that they are embedded."""
    for number in range(3):
        frame = captured(stores, number)
        made = samples.predictions_made(samples.detection(bbox=BOX), frame_id=frame.frame_id)
        await stores.frames.record([frame, made])
        await stores.embeddings.record([frame, made, samples.frame_embedded(made, model)])


async def points(settings: Settings) -> tuple[int, int]:
    """How many frames and regions can be found."""
    store = open_vector_store(settings)
    try:
        return await store.count(FRAME_VECTORS, Where()), await store.count(REGION_VECTORS, Where())
    finally:
        await store.close()


async def lose(settings: Settings) -> None:
    """MongoDB says that all is embedded; Qdrant is empty."""
    model = (await asyncio.to_thread(TorchEmbedder.of, settings)).model_id
    async with open_stores(settings, "any broker") as stores:
        await open_annotation_stores(stores)
        await survey(stores, model)
    (settings.data / "qdrant").mkdir()


def test_vectors_that_are_gone_are_found_and_the_remedy_makes_them_again(
    settings: Settings,
) -> None:
    asyncio.run(lose(settings))

    lost = findings_of(asyncio.run(look(settings)), "vectors")
    assert "lacks vectors of 3 of 3 sampled frames" in lost
    assert "--set embedder=gazeloop-small" in lost
    assert "models fill` recomputes them" in lost
    healed = gazeloop(settings, "models", "fill")

    assert "embedding 3 frames again" in healed.output
    assert "3 sampled frames have all their vectors" in findings_of(
        asyncio.run(look(settings)), "vectors"
    )
    assert errors(asyncio.run(look(settings, model=True))) == []
    assert asyncio.run(points(settings)) == (3, 3)


async def test_a_collection_of_another_dimension_is_found(settings: Settings) -> None:
    model = (await asyncio.to_thread(TorchEmbedder.of, settings)).model_id
    store = open_vector_store(settings)
    await store.ensure(collection_of(REGION_VECTORS, model), 7, keywords=[], numbers=[])
    await store.close()
    found = findings_of(await look(settings, model=True), "vectors")
    assert "has vectors of dimension 7, but the embedder makes" in found
    assert "delete it in Qdrant" in found


async def test_a_live_model_that_is_not_the_settings_is_found(settings: Settings) -> None:
    store = open_vector_store(settings)
    await store.ensure("regions-other", 7, keywords=[], numbers=[])
    await store.alias({REGION_VECTORS: "regions-other", FRAME_VECTORS: "frames-other"})
    await store.close()
    found = findings_of(await look(settings, model=True), "embedder")
    assert found.startswith("warning: searches use other")
    assert "`gazeloop models use`" in found


async def test_an_image_that_is_gone_is_found(settings: Settings, stores: Stores) -> None:
    await stores.frames.record([captured(stores, number) for number in range(2)])
    assert errors(await look(settings)) == []
    shutil.rmtree(settings.data / "blobs")
    found = findings_of(await look(settings), "blobs")
    assert "2 of 2 sampled images are missing" in found
    assert "restore the blob store's backup" in found
    await MongoRetention(stores.database).note_images_deleted([FrameId("f0"), FrameId("f1")])
    assert "missing" not in findings_of(await look(settings), "blobs")


@pytest.mark.usefixtures("stores")
async def test_a_missing_index_is_found_by_its_collection(settings: Settings) -> None:
    assert "indexes" not in findings_of(await look(settings), "mongodb")
    database = connect_as_set(settings)
    await database["matches"].drop_index("frame_id_1")
    await database["review_sessions"].drop_index("ends_at_1")
    await database.client.close()
    found = findings_of(await look(settings), "mongodb")
    assert "warning: indexes are missing in matches, review_sessions" in found
    assert "restart the services" in found


@pytest.mark.usefixtures("stores")
async def test_records_of_a_newer_version_are_found(settings: Settings) -> None:
    database = connect_as_set(settings)
    await database["schemas"].update_one({"_id": "events"}, {"$set": {"newest": 3}})
    await database.client.close()
    found = findings_of(await look(settings), "mongodb")
    assert "error: its records have schema 3, but this version reads up to 2" in found
    assert "run the newest version everywhere" in found


@pytest.mark.parametrize(("free", "level"), [(8, "warning"), (1, "error")])
async def test_a_disk_that_is_almost_full_is_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 100 - free, free))
    found = findings_of(await look(settings), "blobs")
    assert f"{level}: " in found
    assert f"has {free}% of its disk left: enlarge it" in found


# It is: to this machine itself.
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")
@pytest.mark.parametrize(
    ("key", "level"), [(KEY, "ok"), (READING_KEY, "error"), ("another", "error")]
)
async def test_a_qdrant_key_is_one_that_writes(
    settings: Settings, stand_in: str, key: str, level: str
) -> None:
    secured = settings.model_copy(update={"qdrant": stand_in, "qdrant_api_key": SecretStr(key)})
    found = findings_of(await look(secured), "vectors")
    assert found.startswith(f"{level}: ")
    assert ("is GAZELOOP_QDRANT_API_KEY right, and may it write?" in found) == (level == "error")
    assert key not in found


async def test_a_qdrant_that_is_away_is_found(settings: Settings) -> None:
    away = settings.model_copy(update={"qdrant": "http://127.0.0.1:1"})
    found = findings_of(await look(away), "vectors")
    assert found.startswith("error: reading the aliases")
    assert "run the same command again once it is reachable" in found


@pytest.mark.parametrize(("more", "code"), [([], 0), (["--strict"], 1)])
def test_its_exit_code_says_whether_a_deployment_is_fit(
    settings: Settings, more: list[str], code: int
) -> None:
    done = gazeloop(settings, "doctor", "--no-model", "--json", *more)
    assert done.exit_code == code, done.output
    assert {finding["level"] for finding in json.loads(done.output)} == {"ok", "warning"}


def test_an_error_is_an_exit_code_of_one(settings: Settings) -> None:
    away = settings.model_copy(update={"qdrant": "http://127.0.0.1:1"})
    done = gazeloop(away, "doctor", "--no-model")
    assert done.exit_code == 1
    assert "error" in done.output
