"""What the doctor says of real parts, fit and unfit."""

import gc
from pathlib import Path

import pytest

from services.app.doctor.examining import examine
from services.app.doctor.finding import Level
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.integration.doctor.conftest import findings_of, settings_for


async def test_a_sound_deployment_has_no_error(
    kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> None:
    found = await examine(settings_for(kafka, mongodb_url, tmp_path), SystemClock(), model=False)
    assert {finding.part for finding in found if finding.level is Level.OK} == {
        "kafka",
        "mongodb",
        "blobs",
    }
    assert not [finding for finding in found if finding.level is Level.ERROR]


async def test_a_lone_mongod_is_a_warning_with_its_remedy(
    kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> None:
    found = await examine(settings_for(kafka, mongodb_url, tmp_path), SystemClock(), model=False)
    assert "warning: it is a single server, not a replica set: use a replica set" in findings_of(
        found, "mongodb"
    )


async def test_clocks_that_differ_are_told(
    kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> None:
    found = await examine(settings_for(kafka, mongodb_url, tmp_path), FakeClock(), model=False)
    assert "its clock differs from this machine's by" in findings_of(found, "mongodb")


async def test_topics_that_are_not_as_the_settings_say_are_told(
    kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> None:
    settings = settings_for(kafka, mongodb_url, tmp_path, topic_partitions=99)
    found = await examine(settings, SystemClock(), model=False)
    assert "gaze.frames has 8 partitions, not 99" in findings_of(found, "kafka")


# kafka-python leaves the socket of a failed attempt to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_parts_that_are_away_are_errors_and_the_others_are_looked_at(
    mongodb_url: str, tmp_path: Path
) -> None:
    settings = settings_for("127.0.0.1:1", mongodb_url, tmp_path, delivery_timeout_s=1)
    found = await examine(settings, SystemClock(), model=False)
    assert findings_of(found, "kafka").startswith("error: ")
    assert "can be written" in findings_of(found, "mongodb")
    gc.collect()


async def test_where_nothing_is_named_it_says_what_to_name(tmp_path: Path) -> None:
    (only,) = await examine(Settings(data=tmp_path), SystemClock(), model=False)
    assert only.level is Level.ERROR
    assert "GAZELOOP_KAFKA" in only.remedy


async def test_the_parts_of_a_folder_that_nobody_runs_are_started_to_be_looked_at(
    kafka: BrokerAddress, tmp_path: Path
) -> None:
    (tmp_path / "mongodb").mkdir()
    settings = settings_for(kafka, "", tmp_path)
    found = await examine(settings, SystemClock(), model=False)
    sound = {finding.part for finding in found if finding.level is Level.OK}
    assert sound == {"kafka", "mongodb", "blobs", "vectors"}
