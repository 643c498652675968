"""An erasure that is killed by SIGKILL at any step is finished by the next one."""

import asyncio
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import bson
import pytest

from services.contracts.topics import TOPICS
from services.domain.ports.vectors import Where
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.mongo import connected
from services.runtime.stores.vectors_open import open_vector_store
from tests.faults.victims import ROOT
from tests.integration.erasure.killed_steps import COLLECTION


@pytest.fixture
def settings(mongodb_url: str, kafka: BrokerAddress, tmp_path: Path) -> Settings:
    return load_settings(
        data=tmp_path / "data",
        mongodb=mongodb_url,
        mongodb_database=f"killed-{uuid4().hex[:8]}",
        kafka=str(kafka),
    )


async def test_an_erasure_killed_at_any_step_leaves_no_trace_in_any_store_folder_or_topic(
    settings: Settings, kafka: BrokerAddress
) -> None:
    (settings.data / "montages").mkdir(parents=True)
    done = await asyncio.to_thread(_killed_at_every_step, settings)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 25  # every place was killed at

    mark = f"{settings.mongodb_database}/gone.".encode()
    async with connected(settings) as database:
        naming = [
            name
            for name in await database.list_collection_names()
            async for document in database[name].find()
            if mark in bson.encode(document)
        ]
        await database.client.drop_database(database.name)
    vectors = open_vector_store(settings)
    points = await vectors.count(COLLECTION, Where())
    await vectors.close()
    files = [path for path in settings.data.rglob("*") if path.suffix == ".jpg"]
    blobs = [path for path in (settings.data / "blobs").rglob("*") if path.is_file()]
    topics = [t.name for t in TOPICS if any(mark in v for v in values(kafka, settings, t))]
    assert (naming, points, files, blobs, topics) == ([], 0, [], [], [])


def _killed_at_every_step(settings: Settings) -> subprocess.CompletedProcess[str]:
    where = (settings.data, settings.mongodb, settings.mongodb_database, settings.kafka)
    return subprocess.run(
        [sys.executable, "-m", "tests.integration.erasure.killed_steps", *map(str, where)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
