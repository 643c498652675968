"""How long an event waits for others: real Faust streams, on a loop whose clock stands still."""

import asyncio
import selectors
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from faust.events import Event as FaustEvent
from faust.types.tuples import TP, Message

from services.contracts.codec import encode
from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.exits import ExitCode
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.settings import Settings
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


def arriving(at: Sequence[float], *, takes_s: float = 0.0) -> list[tuple[float, list[str]]]:
    """When each batch is in hand, of events that arrive at these seconds."""
    clock = FakeClock()
    loop = FakeTimeLoop(clock)
    step = Noting(clock, len(at), takes_s)
    try:
        loop.run_until_complete(_consume(at, step, clock))
    finally:
        loop.close()
    return step.batches


async def _consume(at: Sequence[float], step: Noting, clock: FakeClock) -> None:
    service = ConsumingService(
        "tester",
        [FRAMES],
        step,
        outbox=InMemoryOutbox(),
        broker=BrokerAddress(("localhost:1",)),
        settings=SETTINGS,
        clock=clock,
        exit_process=_fail,
    )

    async def settled() -> bool:
        return True

    service._settle = settled  # type: ignore[method-assign]
    app = service._build()
    consumer: Any = SimpleNamespace(_unacked_messages=set())
    app.consumer = consumer  # its own brings a thread with it
    app.flow_control.resume()  # as once partitions are assigned
    channel = app.channel()
    stream: Any = channel.stream()
    consuming = asyncio.ensure_future(service._consume(stream))
    for offset, second in enumerate(at):
        await asyncio.sleep(second - clock.monotonic())
        await channel.put(_arrival(app, offset))
    await step.all.wait()
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    await stream.stop()


def _arrival(app: Any, offset: int) -> FaustEvent:
    frame = samples.frame_captured(f"f{offset}")
    key, value = frame.key().encode(), encode(frame)
    message = Message(
        topic=FRAMES.name,
        partition=0,
        offset=offset,
        timestamp=0.0,
        timestamp_type=0,
        headers=[],
        key=key,
        value=value,
        checksum=None,
        tp=TP(FRAMES.name, 0),
        generation_id=app.consumer_generation_id,
    )
    return FaustEvent(app, key, value, [], message)


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


def test_a_full_batch_does_not_wait_at_all() -> None:
    batches = arriving([1.1] * 10, takes_s=0.4)

    assert [names for _, names in batches] == [
        ["f0", "f1", "f2", "f3"],
        ["f4", "f5", "f6", "f7"],
        ["f8", "f9"],
    ]
    assert [at for at, _ in batches] == pytest.approx([1.1, 1.5, 1.9 + WAIT_S])
