"""Services on a broker, real and in memory: what is published is processed, come what may."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, count, repeat
from typing import Any

import pytest
from confluent_kafka import Producer
from faust.transport.drivers.aiokafka import Consumer

from services.contracts import identity
from services.contracts.codec import encode
from services.contracts.errors import InvalidRecord, StoreUnavailable
from services.contracts.events import Event, FrameCaptured
from services.contracts.flow import group_of
from services.contracts.topics import FRAMES, MATCHES, PREDICTIONS
from services.domain.dead_letters import Letter, LetterState
from services.runtime.clock import SystemClock
from services.runtime.kafka.assignment import Assignment
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import AssignmentListener, ConsumingService
from services.runtime.kafka.dead_letters import read_letters, replay
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.stream import StreamApp
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings
from services.runtime.step import Step
from tests import samples
from tests.deadline import until
from tests.reading import dead_letters_on

_numbers = count()
SETTINGS = Settings(
    batch_size=20,
    batch_wait_s=0.05,
    retry_wait_max_s=0.2,
    session_timeout_s=4,  # the in-memory broker waits as long for members at every rebalance
    event_version=2,  # what is published is what `encode` says
)


class Keeping:
    """A step that keeps the ids of the frames it was given; refuses those named so."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.trouble: list[Exception] = []
        self.refused: set[str] = set()
        self.holding = asyncio.Event()
        self.holding.set()

    async def run(self, events: Sequence[Event]) -> None:
        await self.holding.wait()
        if self.trouble:
            raise self.trouble.pop()
        names = [event.key() for event in events]
        if self.refused.intersection(names):
            raise InvalidRecord("refused")
        self.frames.update(names)


class Bench:
    """One service name of its own on a broker that others use too."""

    def __init__(self, broker: BrokerAddress) -> None:
        self.broker = broker
        self.name = f"tester-{next(_numbers)}"
        self.outbox = KafkaOutbox(self.name, broker, SETTINGS, connect=connect_librdkafka)
        self.step = Keeping()
        self.services: list[ConsumingService] = []

    def service(
        self,
        step: Step | None = None,
        listener: AssignmentListener | None = None,
        *,
        settings: Settings = SETTINGS,
        suffix: str = "",
    ) -> ConsumingService:
        service = ConsumingService(
            f"{self.name}{suffix}",
            [FRAMES, PREDICTIONS, MATCHES],
            step or self.step,
            outbox=self.outbox,
            broker=self.broker,
            settings=settings,
            clock=SystemClock(),
            listener=listener,
        )
        self.services.append(service)
        return service

    def frames(self, number: int) -> list[FrameCaptured]:
        return [samples.frame_captured(f"{self.name}-{next(_numbers)}") for _ in range(number)]

    def seen(self) -> set[str]:
        return {name for name in self.step.frames if name.startswith(f"{self.name}-")}

    def folded(self, *frames: FrameCaptured) -> list[Letter]:
        """The letters of these frames."""
        values = {encode(frame) for frame in frames}
        letters = read_letters(self.broker, SETTINGS)
        return [letter for letter in letters if letter.latest.original_value in values]

    def states(self, *frames: FrameCaptured) -> list[LetterState]:
        return [letter.state for letter in self.folded(*frames)]

    def failed(self, frames: Sequence[FrameCaptured], replays: int) -> bool:
        """Whether two services have failed on the last of so many replays of all these frames."""
        letters = self.folded(*frames)
        return len(letters) == len(frames) and all(
            [failure.replay for failure in letter.failures]
            == [identity.replay_id(letter.letter_id, replays) if replays else None] * 2
            for letter in letters
        )

    def letters(self) -> list[bytes]:
        found = dead_letters_on(self.broker)
        return [letter.original_value for letter in found if letter.service == self.name]


@pytest.fixture
async def bench(broker: BrokerAddress) -> AsyncIterator[Bench]:
    bench = Bench(broker)
    yield bench
    for service in bench.services:
        await service.stop()
    await bench.outbox.close()


def ids(frames: Sequence[FrameCaptured]) -> set[str]:
    return {frame.frame_id for frame in frames}


async def _cancelled() -> None:
    raise asyncio.CancelledError


async def test_all_that_was_published_is_processed_and_committed(bench: Bench) -> None:
    before, after = bench.frames(50), bench.frames(50)
    await bench.outbox.publish(before)
    service = bench.service()
    await service.start()
    await bench.outbox.publish(after)
    with LagReader(bench.broker, SETTINGS) as lag:
        await until(lambda: lag.caught_up({service.group: service.topics}))
    assert bench.seen() == ids(before) | ids(after)
    assert service.unhealthy() is None


async def test_what_clients_compressed_is_read(bench: Bench) -> None:
    frames = bench.frames(160)
    for codec, number in zip(("gzip", "snappy", "lz4", "zstd"), count(step=40), strict=False):
        client = Producer({**bench.broker.librdkafka_options, "compression.type": codec})
        for frame in frames[number : number + 40]:
            client.produce(FRAMES.name, key=frame.key(), value=encode(frame))
        assert client.flush(30) == 0

    await bench.service().start()
    await until(lambda: bench.seen() == ids(frames))
    assert {encode(frame) for frame in frames} <= set(values(bench.broker, SETTINGS, FRAMES))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_that_goes_while_a_service_starts_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = bench.frames(3)
    await bench.outbox.publish(frames)
    # The lag reader has an answer; Faust asks where nobody listens, the first time.
    urls = chain(["kafka://127.0.0.1:9"], repeat(bench.broker.faust_url))
    monkeypatch.setattr(BrokerAddress, "faust_url", property(lambda _: next(urls)))
    await bench.service().start()
    await until(lambda: bench.seen() == ids(frames))
    gc.collect()  # Faust leaves the loop of a consumer that did not start to the collector


@pytest.mark.filterwarnings("ignore::faust.exceptions.AlreadyConfiguredWarning")
@pytest.mark.parametrize("trouble", [partial(asyncio.sleep, 1), _cancelled])
async def test_a_start_goes_on_after_a_request_without_an_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[], Awaitable[None]]
) -> None:
    """As after a broker that was away for long, or a process that was suspended."""
    seek, troubles = Consumer.perform_seek, [trouble]

    async def disturbed(self: Any) -> None:
        if troubles:
            await troubles.pop()()
        await seek(self)

    monkeypatch.setattr(Consumer, "perform_seek", disturbed)
    service = bench.service()
    build = service._build

    def impatient() -> StreamApp:
        app = build()

        async def shorten(*_: Any, **__: Any) -> None:
            # Not before the consumer has it: it takes none below its session.
            app.conf.broker_request_timeout = 0.3

        app.on_rebalance_complete.connect(shorten, weak=False)
        return app

    monkeypatch.setattr(service, "_build", impatient)
    frames = bench.frames(3)
    await bench.outbox.publish(frames)
    async with asyncio.timeout(60):
        await service.start()
    await until(lambda: bench.seen() == ids(frames))


async def test_poison_is_dead_lettered_and_its_neighbours_go_on(bench: Bench) -> None:
    good = bench.frames(30)
    (refused,) = bench.frames(1)
    bench.step.refused = {refused.frame_id}
    poison = [b"\x00", b"{}", b"[" * 2000, b"\xff" * 100]
    name = FRAMES.name
    await bench.outbox.publish([*good[:15], refused, *good[15:20]])
    await bench.outbox.publish_records(
        [OutgoingRecord(name, b"key", value, "key") for value in poison]
    )
    _produce_a_bomb(bench)
    await bench.outbox.publish(good[20:])
    service = bench.service()
    await service.start()
    await until(lambda: {*poison, b"odd", encode(refused)} <= set(bench.letters()))
    await until(lambda: bench.seen() >= ids(good))
    await until(lambda: any(b"not decompressed within" in letter for letter in bench.letters()))
    assert refused.frame_id not in bench.seen()


def _produce_a_bomb(bench: Bench) -> None:
    """One batch of some kilobytes that decompresses to 40 MB, behind a record of an odd header."""
    options = {"compression.type": "zstd", "linger.ms": 2_000, "message.max.bytes": 100_000_000}
    client = Producer({**bench.broker.librdkafka_options, **options, "batch.size": 100_000_000})
    client.produce(FRAMES.name, key="odd", value=b"odd", headers=[("null", None)], partition=0)
    assert client.flush(30) == 0
    for _ in range(10):
        client.produce(FRAMES.name, key="bomb", value=bytes(4_000_000), partition=0)
    assert client.flush(30) == 0


async def test_a_replayed_dead_letter_is_processed_once_its_reason_is_gone(bench: Bench) -> None:
    (frame,) = bench.frames(1)
    bench.step.refused = {frame.frame_id}
    service = bench.service()
    await service.start()
    await bench.outbox.publish([frame])
    await until(lambda: encode(frame) in bench.letters())
    bench.step.refused = set()
    report = await replay(bench.folded(frame), bench.outbox, SystemClock().now())
    assert (report.replayed, report.not_replayable) == (1, ())
    await until(lambda: bench.seen() == ids([frame]))
    await until(lambda: bench.states(frame) == [LetterState.RESOLVED])


async def test_replays_that_fail_update_their_letters_and_stop_nothing(bench: Bench) -> None:
    frames = bench.frames(15)
    bench.step.refused = ids(frames)
    settings = SETTINGS.model_copy(update={"dead_letter_run_limit": 20})
    services = [bench.service(settings=settings, suffix=name) for name in ("", "-other")]
    for service in services:
        await service.start()
    await bench.outbox.publish(frames)
    await until(lambda: bench.failed(frames, replays=0))
    for number in (1, 2):
        await replay(bench.folded(*frames), bench.outbox, SystemClock().now())
        await until(partial(bench.failed, frames, replays=number))
        assert bench.states(*frames) == [LetterState.FAILED_AGAIN] * len(frames)
    assert all(service.unhealthy() is None for service in services)
    bench.step.refused = set()
    await replay(bench.folded(*frames), bench.outbox, SystemClock().now())
    await until(lambda: bench.states(*frames) == [LetterState.RESOLVED] * len(frames))


async def test_a_store_that_is_away_for_a_while_costs_nothing(bench: Bench) -> None:
    frames = bench.frames(40)
    bench.step.trouble = [StoreUnavailable("away") for _ in range(6)]
    await bench.outbox.publish(frames)
    service = bench.service()
    await service.start()
    await until(lambda: bench.seen() == ids(frames))
    assert not {encode(frame) for frame in frames}.intersection(bench.letters())


async def test_what_was_not_processed_when_a_service_stopped_is_processed_later(
    bench: Bench,
) -> None:
    frames = bench.frames(200)
    service = bench.service()
    await service.start()
    bench.step.holding.clear()
    await bench.outbox.publish(frames)
    stopping = asyncio.create_task(service.stop())
    await until(lambda: service.unhealthy() == "stopping")
    bench.step.holding.set()
    await stopping
    assert bench.seen() < ids(frames)

    successor = bench.service()
    await successor.start()
    await until(lambda: bench.seen() == ids(frames))


async def test_a_listener_knows_its_partitions_before_the_first_batch(bench: Bench) -> None:
    assigned: list[Assignment] = []

    class Listening(Keeping):
        async def run(self, events: Sequence[Event]) -> None:
            assert assigned
            await super().run(events)

        async def assigned(self, assignment: Assignment) -> None:
            assigned.append(assignment)

    bench.step = Listening()
    frames = bench.frames(10)
    await bench.outbox.publish(frames)
    service = bench.service(listener=bench.step)
    await service.start()
    await until(lambda: bench.seen() == ids(frames))
    await until(lambda: assigned[-1].owns(MATCHES, samples.STOP_SIGN))
    assert not assigned[-1].owns(FRAMES.__class__("gaze.other", ()), samples.STOP_SIGN)


async def test_two_replicas_share_the_partitions_and_lose_nothing(kafka: BrokerAddress) -> None:
    # Not in memory: one process holds that broker and all services, and has no replicas.
    bench = Bench(kafka)
    first, second = bench.service(), bench.service()
    await first.start()
    await bench.outbox.publish(early := bench.frames(60))
    await second.start()
    await bench.outbox.publish(late := bench.frames(60))
    await until(lambda: bench.seen() == ids(early) | ids(late))
    await first.stop()
    await bench.outbox.publish(last := bench.frames(60))
    await until(lambda: bench.seen() >= ids(last))
    await second.stop()
    await bench.outbox.close()


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)  # the other has no transactions
async def test_an_aborted_transaction_is_not_processed_and_no_transaction_leaves_lag(
    bench: Bench,
) -> None:
    aborted, committed = bench.frames(20), bench.frames(20)
    await asyncio.to_thread(_produce_transactions, bench, aborted, committed)
    service = bench.service()
    await service.start()
    with LagReader(bench.broker, SETTINGS) as lag:
        await until(lambda: lag.caught_up({service.group: service.topics}))
        await asyncio.to_thread(_produce_transactions, bench, aborted, ())  # to an idle group
        await until(lambda: lag.caught_up({service.group: service.topics}))
    assert bench.seen() == ids(committed)


def _produce_transactions(
    bench: Bench, aborted: Sequence[FrameCaptured], committed: Sequence[FrameCaptured]
) -> None:
    client = Producer({**bench.broker.librdkafka_options, "transactional.id": bench.name})
    client.init_transactions(60)
    for frames, end in (
        (aborted, client.abort_transaction),
        (committed, client.commit_transaction),
    ):
        client.begin_transaction()
        for frame in frames:
            client.produce(FRAMES.name, key=frame.key(), value=encode(frame))
        assert client.flush(60) == 0
        end(60)


async def test_lag_is_what_a_group_has_not_committed(bench: Bench) -> None:
    group = group_of(bench.name)
    with LagReader(bench.broker, SETTINGS) as lag:
        before = lag.lags({group: [FRAMES.name]})[group, FRAMES.name]
        await bench.outbox.publish(bench.frames(25))
        assert lag.lags({group: [FRAMES.name]})[group, FRAMES.name] == before + 25
        assert not lag.caught_up({group: [FRAMES.name]})
