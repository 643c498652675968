"""How events become batches: real Faust streams, on a loop whose clock stands still."""

import asyncio
import math
import selectors
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from faust.events import Event as FaustEvent
from faust.types.tuples import TP, Message

from services.contracts.codec import encode
from services.contracts.errors import StoreUnavailable
from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.exits import ExitCode
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.records import TransactionEnd
from services.runtime.kafka.stream import StreamApp
from services.runtime.settings import Settings
from services.runtime.step import Step
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox

SETTINGS = Settings(batch_size=4)
WAIT_S = SETTINGS.batch_wait_s


class _Skipping(selectors.DefaultSelector):
    """Waits for nobody: whatever time a loop would sleep has passed."""

    clock: FakeClock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.clock.advance(timeout)
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """A loop by a fake clock, which goes on to the next timer when there is nothing else to do."""

    def __init__(self, clock: FakeClock) -> None:
        selector = _Skipping()
        selector.clock = clock
        self._fake = clock
        super().__init__(selector)

    def time(self) -> float:
        return self._fake.monotonic()


class Noting:
    """A step that takes a while, and notes when each batch came."""

    def __init__(self, clock: FakeClock, expected: int, takes_s: float) -> None:
        self.batches: list[tuple[float, list[str]]] = []
        self.all = asyncio.Event()
        self._clock = clock
        self._left = expected
        self._takes_s = takes_s

    async def run(self, events: Sequence[Event]) -> None:
        self.batches.append((self._clock.monotonic(), [event.key() for event in events]))
        await asyncio.sleep(self._takes_s)
        self._left -= len(events)
        if not self._left:
            self.all.set()


def _fail(code: ExitCode) -> NoReturn:
    raise AssertionError(f"the service ends with {code}")


def arriving(
    at: Sequence[float], *, takes_s: float = 0.0, settings: Settings = SETTINGS
) -> list[tuple[float, list[str]]]:
    """When each batch is in hand, of events that arrive at these seconds."""
    clock = FakeClock()
    step = Noting(clock, len(at), takes_s)
    _run(_consume(at, step, clock, settings), clock)
    return step.batches


def _run(consuming: Coroutine[Any, Any, None], clock: FakeClock) -> None:
    loop = FakeTimeLoop(clock)
    try:
        loop.run_until_complete(consuming)
    finally:
        loop.close()


async def _consume(at: Sequence[float], step: Noting, clock: FakeClock, settings: Settings) -> None:
    service = _service(step, clock, settings)
    app, stream = _stream_of(service)
    consuming = asyncio.ensure_future(service._consume(stream))
    for offset, second in enumerate(at):
        await asyncio.sleep(second - clock.monotonic())
        await stream.channel.put(_faust_event(app, offset))
    await step.all.wait()
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    await stream.stop()


def _service(step: Step, clock: FakeClock, settings: Settings) -> ConsumingService:
    service = ConsumingService(
        "tester",
        [FRAMES],
        step,
        outbox=InMemoryOutbox(),
        broker=BrokerAddress(("localhost:1",)),
        settings=settings,
        clock=clock,
        exit_process=_fail,
    )

    async def settled() -> bool:
        return True

    service._settle = settled  # type: ignore[method-assign]
    return service


def _stream_of(service: ConsumingService) -> tuple[StreamApp, Any]:
    app = service._build()
    consumer: Any = SimpleNamespace(_unacked_messages=set())
    app.consumer = consumer  # its own brings a thread with it
    app.flow_control.resume()  # as once partitions are assigned
    return app, app.channel().stream()


def _faust_event(app: Any, offset: int, **parts: Any) -> FaustEvent:
    frame = samples.frame_captured(f"f{offset}")
    parts = {"key": frame.key().encode(), "value": encode(frame), "headers": []} | parts
    message = Message(
        topic=FRAMES.name,
        partition=0,
        offset=offset,
        timestamp=0.0,
        timestamp_type=0,
        checksum=None,
        tp=TP(FRAMES.name, 0),
        generation_id=app.consumer_generation_id,
        **parts,
    )
    return FaustEvent(app, parts["key"], parts["value"], [], message)


@pytest.mark.parametrize("second", [0.0, 0.01, 0.13, 0.24, 0.26, 7.2, 3600.1])
def test_an_event_alone_waits_as_long_as_the_setting_says_at_most(second: float) -> None:
    [(taken, names)] = arriving([second])

    assert names == ["f0"]
    assert 0 <= taken - second <= WAIT_S + 1e-9


def test_nor_do_events_that_come_one_by_one() -> None:
    seconds = [0.4, 0.9, 1.37, 5.01, 5.3]

    taken = {name: at for at, names in arriving(seconds, takes_s=0.05) for name in names}

    waits = [taken[f"f{place}"] - second for place, second in enumerate(seconds)]
    assert 0 <= min(waits) <= max(waits) <= WAIT_S + 1e-9


def test_what_comes_while_a_batch_is_processed_does_not_wait_for_others_after_it() -> None:
    takes_s = 0.6 * WAIT_S
    seconds = [1.0, 1.0 + 1.2 * WAIT_S, 1.0 + 1.3 * WAIT_S]

    batches = arriving(seconds, takes_s=takes_s)

    # The second comes while the first is processed, until 1 + 1.6 waits, and waits until 1 + 2.
    assert [names for _, names in batches] == [["f0"], ["f1", "f2"]]
    assert [at for at, _ in batches] == pytest.approx([1.0 + WAIT_S, 1.0 + 2 * WAIT_S])


def test_a_full_batch_does_not_wait_at_all() -> None:
    batches = arriving([1.1] * 10, takes_s=0.4)

    assert [names for _, names in batches] == [
        ["f0", "f1", "f2", "f3"],
        ["f4", "f5", "f6", "f7"],
        ["f8", "f9"],
    ]
    assert [at for at, _ in batches] == pytest.approx([1.1, 1.5, 1.9])


def test_a_batch_is_full_by_its_bytes_too() -> None:
    size = len(encode(samples.frame_captured("f0")))
    settings = Settings(batch_size=100, batch_bytes=3 * size)

    batches = arriving([1.1] * 7, takes_s=0.4, settings=settings)

    assert [len(names) for _, names in batches] == [3, 3, 1]
    assert [at for at, _ in batches] == pytest.approx([1.1, 1.5, 1.9])


def test_an_event_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    batches = arriving([1.1] * 3, settings=Settings(batch_bytes=1))

    assert [names for _, names in batches] == [["f0"], ["f1"], ["f2"]]


class Acknowledging:
    """A step that notes which events are acknowledged while it runs; fails where it is to."""

    def __init__(self, events: Sequence[FaustEvent]) -> None:
        self.acknowledged: list[list[int]] = []
        self.trouble: list[Exception] = []
        self._events = events

    async def run(self, events: Sequence[Event]) -> None:
        self.acknowledged.append([e.message.offset for e in self._events if e.message.acked])
        if events and self.trouble:
            raise self.trouble[0]


def test_a_batch_is_acknowledged_once_it_is_processed_and_not_before() -> None:
    events: list[FaustEvent] = []
    step = Acknowledging(events)
    clock = FakeClock()

    async def consume() -> None:
        service = _service(step, clock, SETTINGS)
        app, stream = _stream_of(service)
        events.extend(_faust_event(app, offset) for offset in range(8))
        consuming = asyncio.ensure_future(service._consume(stream))
        for event in events:
            await stream.channel.put(event)
        await asyncio.sleep(1)
        consuming.cancel()

    _run(consume(), clock)

    assert step.acknowledged == [[], [0, 1, 2, 3]]
    assert all(event.message.acked for event in events)


def test_the_end_of_a_transaction_is_acknowledged_and_not_processed() -> None:
    clock = FakeClock()
    step = Noting(clock, 1, 0.0)
    events: list[FaustEvent] = []

    async def consume() -> None:
        service = _service(step, clock, SETTINGS)
        app, stream = _stream_of(service)
        ends = [_faust_event(app, offset, key=None, value=TransactionEnd()) for offset in (1, 2)]
        events.extend([_faust_event(app, 0), *ends])
        consuming = asyncio.ensure_future(service._consume(stream))
        for event in events:
            await stream.channel.put(event)
            await asyncio.sleep(2 * WAIT_S)  # a batch each
        consuming.cancel()

    _run(consume(), clock)

    assert [names for _, names in step.batches] == [["f0"]]
    assert all(event.message.acked for event in events)


def test_a_batch_that_a_stop_gives_back_is_not_acknowledged() -> None:
    events: list[FaustEvent] = []
    step = Acknowledging(events)
    step.trouble = [StoreUnavailable("away")]
    clock = FakeClock()

    async def consume() -> None:
        service = _service(step, clock, SETTINGS)
        app, stream = _stream_of(service)
        events.extend(_faust_event(app, offset) for offset in range(4))
        for event in events:
            await stream.channel.put(event)
        consuming = asyncio.ensure_future(service._consume(stream))
        await asyncio.sleep(1)
        service._runner.end()
        await consuming  # it ends, although nothing cancels it

    _run(consume(), clock)

    assert len(step.acknowledged) > 1
    assert not any(event.message.acked for event in events)


def test_events_of_partitions_that_have_moved_are_left_to_their_new_owner() -> None:
    clock = FakeClock()
    step = Noting(clock, 1, 0.0)

    async def consume() -> None:
        service = _service(step, clock, SETTINGS)
        app, stream = _stream_of(service)
        moved, current = _faust_event(app, 0), _faust_event(app, 1)
        moved.message.generation_id = app.consumer_generation_id - 1
        for event in (moved, current):
            await stream.channel.put(event)
        consuming = asyncio.ensure_future(service._consume(stream))
        await step.all.wait()
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        assert not moved.message.acked

    _run(consume(), clock)

    assert [names for _, names in step.batches] == [["f1"]]


def test_the_buffer_is_full_by_number_and_by_bytes_and_empty_once_cleared() -> None:
    async def fill() -> None:
        app, stream = _stream_of(
            _service(Noting(clock, 0, 0), clock, Settings(batch_size=2, batch_bytes=300))
        )
        buffer = stream.channel.queue
        event = _faust_event(app, 0, key=None)
        room = 0
        while not buffer.full():
            buffer.put_nowait(event)
            room += 1
        assert room == math.ceil(4 * 300 / len(event.message.value or b""))  # and not 4 * 2
        buffer.clear()
        assert not buffer.full()
        assert buffer.empty()

    clock = FakeClock()
    _run(fill(), clock)


@pytest.mark.parametrize(
    "parts", [{"key": bytes(2_000)}, {"headers": [("name", bytes(2_000))]}], ids=["key", "header"]
)
def test_keys_and_headers_fill_the_buffer_too(parts: dict[str, Any]) -> None:
    async def fill() -> None:
        app, stream = _stream_of(_service(Noting(clock, 0, 0), clock, Settings(batch_bytes=500)))
        stream.channel.queue.put_nowait(_faust_event(app, 0, **parts))
        assert stream.channel.queue.full()

    clock = FakeClock()
    _run(fill(), clock)


def test_a_stream_ends_with_its_app_and_without_an_error() -> None:
    clock = FakeClock()

    async def consume() -> None:
        service = _service(Noting(clock, 0, 0), clock, SETTINGS)
        _, stream = _stream_of(service)
        consuming = asyncio.ensure_future(service._consume(stream))
        await asyncio.sleep(0)
        await stream.channel.throw(StopAsyncIteration())
        await consuming

    _run(consume(), clock)


def test_a_member_keeps_its_partitions_during_a_batch_that_the_watchdog_allows() -> None:
    clock = FakeClock()

    async def build() -> None:
        app = _service(Noting(clock, 0, 0), clock, SETTINGS)._build()
        assert app.conf.broker_max_poll_interval >= 86_400

    _run(build(), clock)
