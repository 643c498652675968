"""One service on Apache Kafka; the service and the broker are killed under load.

In every test, nothing may ever be committed before it is finished.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.contracts.errors import Transient
from services.contracts.events import Event
from services.contracts.flow import group_of
from services.contracts.topics import FRAMES
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.exits import ExitCode
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import Connect, OutgoingRecord
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until
from tests.faults.commits import CommitWatch
from tests.faults.victims import Victim
from tests.reading import keys_on

SETTINGS = Settings(delivery_timeout_s=240, retry_wait_max_s=1)
pytestmark = pytest.mark.usefixtures("collected_sockets")

WORKER = str(Path(__file__).parent / "worker.py")
BATCH = 250


class Bench:
    """A broker of our own, whose topics nobody else writes to, and one worker's notes."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path, name: str) -> None:
        self.kafka = kafka
        self.broker = BrokerAddress.parse(kafka.bootstrap)
        self.name = name
        self._folder = folder
        self.notes = folder / f"{name}.notes"

    def worker(
        self,
        seconds: float = 0.02,
        *,
        first_seconds: float | None = None,
        **environment: str,
    ) -> Victim:
        first = seconds if first_seconds is None else first_seconds
        timing = [str(seconds), str(first)]
        command = [WORKER, str(self.broker), self.name, str(self.notes), *timing]
        log = self._folder / f"{self.name}.log"
        return Victim(command, log, {"GAZELOOP_SESSION_TIMEOUT_S": "3", **environment})

    def noted(self) -> list[str]:
        """Every frame that was processed, as often as it was."""
        if not self.notes.exists():
            return []
        return [n for n in self.notes.read_text().splitlines() if n.startswith(self.name)]

    def has_begun(self) -> bool:
        """Whether a worker has taken a batch."""
        return self.notes.exists() and "a batch began" in self.notes.read_text()

    def starts(self) -> int:
        """How often a worker has started to consume."""
        return (self._folder / f"{self.name}.log").read_text().count('"service_started"')

    async def publish(self, start: int, count: int) -> None:
        outbox = KafkaOutbox("faults", self.broker, SETTINGS)
        names = [f"{self.name}-{number}" for number in range(start, start + count)]
        await outbox.publish([samples.frame_captured(name) for name in names])
        await outbox.close()

    async def until_processed(self, count: int) -> None:
        group = group_of(self.name)
        with LagReader(self.broker, SETTINGS) as lag:
            await until(lambda: lag.caught_up({group: [FRAMES.name]}), deadline_s=300)
        assert set(self.noted()) == {f"{self.name}-{number}" for number in range(count)}


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(BrokerAddress.parse(kafka.bootstrap), SETTINGS)
        yield kafka


@pytest.fixture
async def bench(
    own_kafka: EmbeddedKafka, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Bench]:
    bench = Bench(own_kafka, tmp_path, request.function.__name__)
    watch = CommitWatch(bench.notes, group_of(bench.name), FRAMES)
    async with watch.watching(bench.broker, SETTINGS):
        yield bench
    assert watch.looks
    assert watch.unfinished(bench.broker) == set()


async def test_a_worker_that_is_killed_again_and_again_loses_nothing(bench: Bench) -> None:
    rng = random.Random(7)
    with bench.worker() as worker:
        for kill in range(5):
            await bench.publish(kill * BATCH, BATCH)
            # Somewhere in the middle of the work that was just published.
            wanted = kill * BATCH + rng.randrange(BATCH // 2)
            await until(lambda wanted=wanted: len(set(bench.noted())) > wanted)  # type: ignore[misc]
            worker.kill()
        await bench.until_processed(5 * BATCH)
        assert worker.exits == []


async def test_a_broker_that_is_killed_and_comes_back_costs_nothing(bench: Bench) -> None:
    with bench.worker() as worker:
        await bench.publish(0, BATCH)
        await until(lambda: len(bench.noted()) > BATCH // 4)
        bench.kafka.kill()
        publishing = asyncio.create_task(bench.publish(BATCH, BATCH))
        await asyncio.to_thread(bench.kafka.restart)
        await publishing
        worker.tend()
        await bench.until_processed(2 * BATCH)
        worker.tend()
        assert worker.exits == []


async def test_a_worker_that_is_told_to_end_finishes_its_batch_and_commits(bench: Bench) -> None:
    await bench.publish(0, BATCH)
    # Of a slow machine's worker whose session has expired, a batch would come again.
    with bench.worker(seconds=0.3, GAZELOOP_SESSION_TIMEOUT_S="30") as worker:
        await until(lambda: len(bench.noted()) > 0)
        assert await asyncio.to_thread(worker.terminate) == 0
    before = bench.noted()
    with bench.worker(GAZELOOP_SESSION_TIMEOUT_S="30"):
        await bench.until_processed(BATCH)
    assert len(bench.noted()) == BATCH
    assert bench.noted()[: len(before)] == before


async def test_a_worker_that_cannot_finish_its_batch_in_time_exits_uncommitted(
    bench: Bench,
) -> None:
    await bench.publish(0, 10)
    with bench.worker(seconds=60, GAZELOOP_DRAIN_DEADLINE_S="1") as worker:
        group = group_of(bench.name)
        with LagReader(bench.broker, SETTINGS) as lag:
            await until(bench.has_begun)
            assert await asyncio.to_thread(worker.terminate) == ExitCode.UNDRAINED
            assert not lag.caught_up({group: [FRAMES.name]})
    with bench.worker():
        await bench.until_processed(10)


async def test_a_worker_that_gets_nothing_done_exits(bench: Bench) -> None:
    await bench.publish(0, 10)
    with bench.worker(seconds=600, GAZELOOP_STALL_LIMIT_S="2") as worker:
        assert await asyncio.to_thread(worker.wait) == ExitCode.STALLED


async def test_replicas_that_are_killed_in_turn_lose_nothing(bench: Bench) -> None:
    with bench.worker() as first, bench.worker() as second:
        for kill, victim in enumerate((first, second, first, second)):
            await bench.publish(kill * BATCH, BATCH)
            wanted = kill * BATCH + BATCH // 3
            await until(lambda wanted=wanted: len(set(bench.noted())) > wanted)  # type: ignore[misc]
            victim.kill()
        await bench.until_processed(4 * BATCH)
        assert first.exits == second.exits == []


async def test_members_that_join_and_leave_while_batches_are_in_hand_lose_nothing(
    bench: Bench,
) -> None:
    await bench.publish(0, 2 * BATCH)
    with bench.worker(seconds=0.3) as first:
        await until(bench.has_begun)
        with bench.worker(seconds=0.3) as second:
            await until(lambda: bench.starts() == 2)
            await bench.publish(2 * BATCH, 2 * BATCH)
            await until(lambda: len(set(bench.noted())) > 3 * BATCH)
            assert await asyncio.to_thread(second.terminate) == 0
            await bench.publish(4 * BATCH, BATCH)
        await bench.until_processed(5 * BATCH)
        assert first.exits == []


async def test_a_batch_that_outlasts_the_session_comes_once(bench: Bench) -> None:
    await bench.publish(0, 8 * BATCH)  # more than the buffer holds, so that nothing is polled
    with bench.worker(first_seconds=8, GAZELOOP_SESSION_TIMEOUT_S="6") as worker:
        await bench.until_processed(8 * BATCH)
        assert worker.exits == []
    assert len(bench.noted()) == 8 * BATCH


async def test_a_member_whose_session_expires_joins_again_and_loses_nothing(bench: Bench) -> None:
    await bench.publish(0, 8 * BATCH)
    with bench.worker(seconds=0.3) as worker:
        for wanted in (BATCH, 3 * BATCH):
            await until(lambda wanted=wanted: len(set(bench.noted())) > wanted)  # type: ignore[misc]
            await asyncio.to_thread(worker.suspend, 5.0)  # its session is 3 s
        await bench.until_processed(8 * BATCH)
        assert worker.exits == []


async def test_poison_is_committed_only_as_dead_letters_although_the_worker_is_killed(
    bench: Bench,
) -> None:
    keys = [f"{bench.name}-poison-{number}" for number in range(60)]
    poison = [OutgoingRecord(FRAMES.name, key.encode(), b"{}" + key.encode(), key) for key in keys]
    outbox = KafkaOutbox("faults", bench.broker, SETTINGS)
    with bench.worker() as worker:
        for kill in range(3):
            await bench.publish(kill * BATCH, BATCH)
            await outbox.publish_records(poison[kill * 20 : (kill + 1) * 20])
            await until(lambda kill=kill: len(set(bench.noted())) > kill * BATCH + 20)  # type: ignore[misc]
            worker.kill()
        with LagReader(bench.broker, SETTINGS) as lag:
            group = group_of(bench.name)
            await until(lambda: lag.caught_up({group: [FRAMES.name]}), deadline_s=300)
        assert worker.exits == []
    await outbox.close()
    names = {f"{bench.name}-{number}" for number in range(3 * BATCH)}
    assert set(bench.noted()) == names | set(keys)


@pytest.mark.parametrize("connect", [connect_kafka_python, connect_librdkafka])
async def test_what_a_publisher_sends_again_after_an_outage_is_there(
    own_kafka: EmbeddedKafka, request: pytest.FixtureRequest, connect: Connect
) -> None:
    broker = BrokerAddress.parse(own_kafka.bootstrap)
    outbox = KafkaOutbox("faults", broker, Settings(delivery_timeout_s=2), connect=connect)
    names = [f"{request.node.name}-{number}" for number in range(3)]
    before, during, after = [samples.frame_captured(name) for name in names]
    await _published(outbox, before)
    await asyncio.to_thread(own_kafka.kill)
    with pytest.raises(Transient):
        await outbox.publish([during])
    await asyncio.to_thread(own_kafka.restart)
    await _published(outbox, during, after)
    await outbox.close()
    assert set(names) <= set(keys_on(broker, FRAMES.name).values())


async def _published(outbox: KafkaOutbox, *events: Event) -> None:
    """Publish them, again until they are there."""
    while True:
        try:
            await outbox.publish(events)
        except Transient:
            continue
        return
