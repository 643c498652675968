"""The faults of docs/reliability.md on three nodes of Kafka and three of MongoDB: `make faults`."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.stores.opening import Stores
from tests.deadline import until
from tests.disks import Disk, mounted
from tests.faults.deployment import Deployment, deployed, publisher_for
from tests.faults.outcome import (
    CLEAN,
    Outcome,
    missing_vectors,
    report_differences,
    settled_outcome,
)
from tests.faults.proxies import Proxies, Proxy
from tests.faults.replica_set import FAKETIME, ReplicaSet
from tests.faults.rows import (
    ENDS_PROCESSES,
    ROWS,
    Fault,
    Scene,
    Stage,
    clocks_of_mongodb_an_hour_ahead,
    clocks_of_mongodb_an_hour_behind,
    connections_to_the_vectors_stalled,
    disk_of_a_broker_node_full,
    disk_of_the_mongodb_primary_full,
    disk_of_the_vectors_full,
    power_of_a_broker_node_lost,
    power_of_the_mongodb_primary_lost,
    power_of_the_vectors_lost,
    until_published,
    vectors_away_for_60_s,
    vectors_slower_by_2_s,
)
from tests.faults.victims import ROOT
from tests.qdrant_server import URL

pytestmark = [pytest.mark.timeout(1800), pytest.mark.usefixtures("collected_sockets")]

DISK_BYTES = 700 << 20
"""MongoDB's journal alone is two files of 100 MB."""
WITH_DISKS = {
    disk_of_a_broker_node_full,
    disk_of_the_mongodb_primary_full,
    disk_of_the_vectors_full,
    power_of_a_broker_node_lost,
    power_of_the_mongodb_primary_lost,
    power_of_the_vectors_lost,
}
WITH_CLOCKS = {clocks_of_mongodb_an_hour_ahead, clocks_of_mongodb_an_hour_behind}
NOTES = ROOT / "build" / "faults.md"
WITH_SERVER = {
    vectors_slower_by_2_s,
    vectors_away_for_60_s,
    connections_to_the_vectors_stalled,
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, s3_bucket: str) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    with ExitStack() as parts:
        disks = _disks(folder, parts)
        proxies = parts.enter_context(Proxies())
        mongodb = parts.enter_context(ReplicaSet(folder / "mongodb", proxies))
        kafka = parts.enter_context(EmbeddedKafka(folder / "kafka", nodes=3))
        port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
        assert port
        blobs = proxies.before(port)
        server = urlsplit(URL)
        vectors = proxies.before(server.port or 80, server.hostname or "") if URL else None
        deployment = deployed(
            folder,
            kafka,
            mongodb,
            _environment(folder, blobs),
            blobs=s3_bucket,
            qdrant=f"http://127.0.0.1:{vectors.port}" if vectors else "",
            topic_replication=3,
            epoch_s=0.5,
            metadata_max_age_s=2,
            session_timeout_s=6,
            retry_wait_max_s=2,
        )
        yield Stage(parts.enter_context(deployment), mongodb, proxies, blobs, vectors, disks)


def _disks(folder: Path, parts: ExitStack) -> dict[str, Disk]:
    """Small file systems by what stands on each; none where nothing can be mounted."""
    places = {
        "kafka": folder / "kafka" / "node-3",
        "mongodb": folder / "mongodb" / "member-3",
        "vectors": folder / "data",
    }
    found = {name: parts.enter_context(mounted(path, DISK_BYTES)) for name, path in places.items()}
    return {name: disk for name, disk in found.items() if disk is not None}


def _environment(folder: Path, blobs: Proxy) -> dict[str, str]:
    """Variables of the services: where the bucket is, and where the clock."""
    clock = folder / "clock"
    clock.write_text("0")
    folders = [ROOT / "tests" / "faults" / "skew", ROOT, ROOT / "clients" / "python"]
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{blobs.port}",
        "FAULTS_CLOCK": str(clock),
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }


@pytest.fixture
def deployment(stage: Stage) -> Deployment:
    return stage.deployment


@pytest.fixture
def needed(fault: Fault, stage: Stage) -> None:
    """Skip what this machine cannot do."""
    if fault in WITH_DISKS and not stage.disks:
        pytest.skip("no disk of its own can be mounted here")
    if fault in WITH_SERVER and not URL:
        pytest.skip("GAZELOOP_TEST_QDRANT names no server")
    if fault in WITH_CLOCKS and FAKETIME is None:
        pytest.skip("libfaketime is not installed")


@pytest.mark.usefixtures("needed")
@pytest.mark.parametrize("fault", ROWS, ids=lambda fault: fault.__name__)
async def test_nothing_is_lost_or_there_twice_and_the_report_is_the_same(
    fault: Fault, stage: Stage, stores: Stores
) -> None:
    deployment = stage.deployment
    scene = Scene(stage, stores, await publisher_for(deployment, stores))
    before = {name: list(exits) for name, exits in deployment.exits().items()}
    began = time.monotonic()
    tending = asyncio.create_task(_tended(deployment))
    try:
        await until_published(scene, fault)
    finally:
        tending.cancel()
        stage.proxies.clear()
    outcome = await settled_outcome(scene.survey, deployment, stores, patience_s=300)
    exits = deployment.exits()
    ended = sorted(name for name in exits if exits[name] != before[name])
    _note(fault, scene, outcome, ended, time.monotonic() - began)
    assert outcome == CLEAN
    assert not ended or fault in ENDS_PROCESSES


def _note(
    fault: Fault, scene: Scene, outcome: Outcome, ended: Sequence[str], seconds: float
) -> None:
    """Append a row of the table that docs/reliability.md has."""
    NOTES.parent.mkdir(exist_ok=True)
    name, same = fault.__name__.replace("_", " "), "no" if outcome.differences else "yes"
    with NOTES.open("a") as notes:
        notes.write(
            f"| {name} | {len(scene.frames)} | {outcome.lost} | {outcome.duplicates} | {same}"
            f" | {', '.join(ended) or 'none'} | {seconds:.0f} s |\n"
        )


async def _tended(deployment: Deployment) -> None:
    """Start processes again that end, as a supervisor does."""
    while True:
        await asyncio.to_thread(deployment.exits)
        await asyncio.sleep(1)


async def test_in_the_end_gauges_and_vectors_are_those_of_all_that_was_published(
    stage: Stage, stores: Stores
) -> None:
    frames = {fact.frame_id for fact in stage.published}
    settings, gauges = stage.deployment.settings, stage.deployment.gauges
    await until(lambda: gauges("gazeloop_evaluated_frames").get("all", 0) >= len(frames))
    assert await report_differences(frames, stores, settings) == ()
    assert await asyncio.to_thread(stage.deployment.victims["embedder"].terminate) == 0
    assert await missing_vectors(stage.published, stores, settings) == []
