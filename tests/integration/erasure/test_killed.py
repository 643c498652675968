"""An erasure that is killed by SIGKILL at any step is finished by the next one.

Vectors are in the Qdrant server that GAZELOOP_TEST_QDRANT names, else in Qdrant Edge.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
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
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.mongo import connected
from services.runtime.stores.vectors_open import open_vector_store
from tests.faults.victims import ROOT
from tests.integration.erasure.killed_steps import COLLECTIONS
from tests.qdrant_server import SETTINGS, emptied_server

EVERY = os.environ.get("GAZELOOP_TEST_KILLED_STEPS", "2")
"""After how many steps each; all of them, by `1`, take twice as long. tests/unit/erasure kills at
every step too, in memory."""


@pytest.fixture
def settings(
    mongodb_url: str, kafka: BrokerAddress, s3_bucket: str, tmp_path: Path
) -> Iterator[Settings]:
    database = f"killed-{uuid4().hex[:8]}"
    with emptied_server():
        yield load_settings(
            data=tmp_path / "data",
            mongodb=mongodb_url,
            mongodb_database=database,
            kafka=str(kafka),
            blobs=f"{s3_bucket}/{database}",
            **SETTINGS,
        )


async def test_an_erasure_killed_at_any_step_leaves_no_trace_in_any_store_folder_or_topic(
    settings: Settings, kafka: BrokerAddress
) -> None:
    (settings.data / "montages").mkdir(parents=True)
    done = await asyncio.to_thread(_killed_at_every_step, settings)
    assert done.returncode == 0, done.stderr
    # Every place was killed at, the vectors between two deletions, and the bucket.
    assert int(done.stdout.splitlines()[-1]) > 35

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
    points = [await vectors.count(collection, Where()) for collection in COLLECTIONS]
    await vectors.close()
    files = [path for path in settings.data.rglob("*") if path.suffix == ".jpg"]
    blobs = list(open_blobs(settings.blob_url).uris())
    topics = [t.name for t in TOPICS if any(mark in v for v in values(kafka, settings, t))]
    assert (naming, sum(points), files, blobs, topics) == ([], 0, [], [], [])


def _killed_at_every_step(settings: Settings) -> subprocess.CompletedProcess[str]:
    stores = (settings.mongodb, settings.mongodb_database, settings.kafka, settings.blobs)
    program = "tests.integration.erasure.killed_steps"
    return subprocess.run(
        [sys.executable, "-m", program, str(settings.data), *stores, EVERY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
