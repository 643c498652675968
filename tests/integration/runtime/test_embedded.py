"""The parts that run beside us: they start, survive, refuse company, and never outlive us."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka.errors import KafkaError
from pymongo import MongoClient

from services.contracts.errors import FolderInUse, MissingBroker, MissingPart, PartEnded
from services.contracts.topics import FRAMES
from services.runtime.embedded.child import Child, is_listening
from services.runtime.embedded.kafka import CLASS_ARCHIVE, EmbeddedKafka, find_java
from services.runtime.embedded.kafka_classes import is_usable
from services.runtime.embedded.kafka_jars import find_jars
from services.runtime.embedded.mongod import Mongod
from services.runtime.embedded.stack import Addresses, EmbeddedStack, joined, running
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until
from tests.reading import events_on

pytestmark = pytest.mark.usefixtures("collected_sockets")

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(delivery_timeout_s=240, topic_partitions=2)


@contextmanager
def owner_of(data: Path) -> Iterator[tuple[subprocess.Popen[str], Addresses]]:
    """Another process that runs the stack on the folder."""
    script = str(Path(__file__).parent / "owner.py")
    process = subprocess.Popen(
        [sys.executable, script, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, Addresses.model_validate_json(process.stdout.readline())
        finally:
            process.kill()


def what_ended(stack: EmbeddedStack) -> str:
    """What is said of the part that has ended; nothing while all run."""
    try:
        stack.check()
    except PartEnded as exc:
        return str(exc)
    return ""


def port_of(address: str) -> int:
    return int(address.removeprefix("mongodb://").partition("/")[0].rpartition(":")[2])


def logged_in(addresses: Addresses, settings: Settings) -> MongoClient[dict[str, int]]:
    password = addresses.applied_to(settings).mongodb_password.get_secret_value()
    return MongoClient(addresses.mongodb, username=addresses.mongodb_user, password=password)


async def publish(broker: BrokerAddress, *frame_ids: str) -> None:
    outbox = KafkaOutbox("embedded", broker, SETTINGS)
    await outbox.publish([samples.frame_captured(frame_id) for frame_id in frame_ids])
    await outbox.close()


def frames_on(broker: BrokerAddress) -> set[str]:
    return {event.key() for _, event in events_on(broker, FRAMES.name)}


def frames_readable(broker: BrokerAddress) -> set[str]:
    """Those that can be read now; none while the cluster elects its leaders anew."""
    try:
        return frames_on(broker)
    except KafkaError:
        return set()


async def test_parts_die_with_their_owner_and_their_data_are_there_again(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"data": tmp_path})
    with owner_of(tmp_path) as (owner, addresses):
        assert running(settings) == addresses
        async with joined(settings) as same:
            assert same == addresses
        with pytest.raises(FolderInUse, match="another process"), EmbeddedStack(settings):
            pass
        create_topics(addresses.broker, SETTINGS)
        await publish(addresses.broker, "before-the-kill")
        owner.kill()
        owner.wait()
        ports = [port_of(addresses.kafka), port_of(addresses.mongodb)]
        await until(lambda: not any(map(is_listening, ports)))
    assert running(settings) is None
    stack = EmbeddedStack(settings)
    with stack as again:
        assert again.kafka == addresses.kafka
        stack.serves(review="http://127.0.0.1:8000/review")
        async with joined(settings) as same:
            assert same.review == "http://127.0.0.1:8000/review"
        assert frames_on(again.broker) == {"before-the-kill"}
        stack.check()
        with logged_in(again, settings) as client:
            os.kill(client.admin.command("serverStatus")["pid"], signal.SIGKILL)
        await until(lambda: "mongod has ended by itself" in what_ended(stack))
    assert running(settings) is None


async def test_a_killed_mongod_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with Mongod(tmp_path) as mongod:
        with MongoClient[dict[str, int]](mongod.url) as client:
            for number in range(50):
                client["gazeloop"]["numbers"].insert_one({"_id": number})
        mongod.kill()
    with Mongod(tmp_path) as mongod, MongoClient[dict[str, int]](mongod.url) as client:
        assert client["gazeloop"]["numbers"].count_documents({}) == 50


async def test_of_three_brokers_one_may_be_killed(tmp_path: Path) -> None:
    """The power failed while they were made: files are empty that were not on the disk yet."""
    settings = SETTINGS.model_copy(update={"topic_replication": 3})
    data = tmp_path / "node-1" / "data"
    data.mkdir(parents=True)
    for file in (tmp_path / "cluster-id", data / "meta.properties", data / "bootstrap.checkpoint"):
        file.touch()
    with EmbeddedKafka(tmp_path, nodes=3) as kafka:
        broker = BrokerAddress.parse(kafka.bootstrap)
        await until(lambda: bool(create_topics(broker, settings, [FRAMES])))
        await publish(broker, "all-there")
        kafka.kill(2)
        await publish(broker, "one-away")
        kafka.restart(2)
        kafka.kill(3)
        await until(lambda: frames_readable(broker) == {"all-there", "one-away"})


def test_an_archive_of_classes_that_is_cut_short_is_not_used(tmp_path: Path) -> None:
    archive, cut = find_jars() / CLASS_ARCHIVE, tmp_path / CLASS_ARCHIVE
    if not archive.exists():
        pytest.skip("`gazeloop broker fetch` was not run")
    cut.write_bytes(archive.read_bytes()[: 1 << 21])
    assert is_usable(archive)
    assert not is_usable(cut)


def test_a_folder_serves_one_part_at_a_time(tmp_path: Path) -> None:
    sleeping = ["sleep", "1000"]
    with Child("sleeper", sleeping, tmp_path), pytest.raises(FolderInUse, match="sleeper"):
        Child("sleeper", sleeping, tmp_path, patience_s=0.2)


def test_a_program_that_is_not_there_is_a_missing_part(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="no-such-program"):
        Child("no-such-program", [str(tmp_path / "no-such-program")], tmp_path)


def test_a_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    child = Child("teller", ["sh", "-c", "echo the disk is full >&2; exit 3"], tmp_path)
    with pytest.raises(MissingPart, match="the disk is full"):
        child.wait_until(lambda: False, deadline_s=240)
    child.stop()


def test_a_program_that_does_not_listen_to_reason_is_killed(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"]
    child = Child("stubborn", stubborn, tmp_path, grace_s=0.5)
    child.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_program_that_has_ended_by_itself_can_be_killed(tmp_path: Path) -> None:
    child = Child("short", ["true"], tmp_path)
    with pytest.raises(MissingPart, match="ended at once"):
        child.wait_until(lambda: False, deadline_s=240)
    child.kill()
    assert not child.running


def test_without_java_the_broker_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with EmbeddedStack(Settings(data=tmp_path)) as addresses:
        assert addresses.broker.in_memory
        assert not create_topics(addresses.broker, SETTINGS).created


def test_without_java_a_folder_with_events_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmbeddedKafka(tmp_path / "kafka").stop()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(MissingBroker, match="no java, neither in JAVA_HOME nor on the PATH"),
        EmbeddedStack(Settings(data=tmp_path)),
    ):
        pass


def test_a_java_on_the_path_is_found_though_java_home_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java().is_file()


def test_a_folder_that_is_misspelt_is_not_made_by_asking_whether_it_runs(tmp_path: Path) -> None:
    assert running(Settings(data=tmp_path / "misspelt")) is None
    assert not (tmp_path / "misspelt").exists()
