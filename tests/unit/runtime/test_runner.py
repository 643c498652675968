import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import pytest

from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.errors import (
    BrokerUnavailable,
    ConflictingRevision,
    FrameNotStored,
    Invalid,
    InvalidRecord,
    StoreUnavailable,
    TooManyDeadLetters,
)
from services.contracts.events import Event, FrameCaptured
from services.contracts.topics import topic_of
from services.runtime.exits import ExitCode
from services.runtime.kafka import runner
from services.runtime.kafka.dead_letter_limit import DeadLetterLimit
from services.runtime.kafka.records import REPLAY_HEADER, Record
from services.runtime.kafka.runner import Runner
from services.runtime.settings import Settings
from tests import samples
from tests.captured_logs import captured_logs
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox


class Exited(BaseException):
    def __init__(self, code: ExitCode) -> None:
        self.code = code


def leave(code: ExitCode) -> NoReturn:
    raise Exited(code)


class ScriptedStep:
    """Remembers what it was given; `trouble` says what is wrong with a batch, if anything."""

    def __init__(self, trouble: Callable[[Sequence[Event]], BaseException | None]) -> None:
        self.done: list[list[Event]] = []
        self._trouble = trouble

    async def run(self, events: Sequence[Event]) -> None:
        error = self._trouble(events)
        if error is not None:
            raise error
        self.done.append(list(events))


def fine(_: Sequence[Event]) -> None:
    return None


def refuses(frame_id: str) -> Callable[[Sequence[Event]], Invalid | None]:
    def trouble(events: Sequence[Event]) -> Invalid | None:
        bad = any(isinstance(e, FrameCaptured) and e.frame_id == frame_id for e in events)
        return InvalidRecord(f"{frame_id} is bad") if bad else None

    return trouble


def record(event: Event, offset: int = 0) -> Record:
    return Record(topic_of(event).name, 3, offset, event.key().encode(), encode(event))


def letters(outbox: InMemoryOutbox) -> list[DeadLettered]:
    return [event for event in outbox.published if isinstance(event, DeadLettered)]


class Bench:
    def __init__(
        self, trouble: Callable[[Sequence[Event]], BaseException | None], **settings: object
    ) -> None:
        self.step = ScriptedStep(trouble)
        self.outbox = InMemoryOutbox()
        self.clock = FakeClock()
        self.runner = Runner(
            "tester",
            self.step,
            self.outbox,
            Settings(**settings),  # type: ignore[arg-type]  # each test names few
            self.clock,
            exit_process=leave,
            sleep=self.clock.sleep,
        )


FRAMES = [samples.frame_captured(f"f{number}") for number in range(4)]


async def test_a_batch_reaches_the_step_in_its_order() -> None:
    bench = Bench(fine)
    await bench.runner.process([record(frame) for frame in FRAMES])
    assert bench.step.done == [FRAMES]
    assert bench.outbox.published == []


async def test_a_batch_waits_for_a_store_only_until_the_store_answers() -> None:
    waiting = []
    errors = [StoreUnavailable("no mongod"), FrameNotStored("frame f1"), None]

    def trouble(_: Sequence[Event]) -> BaseException | None:
        waiting.append(bench.runner.waiting)
        return errors.pop(0)

    bench = Bench(trouble)
    await bench.runner.process([record(FRAMES[0])])
    assert waiting == ["", "StoreUnavailable: no mongod", ""]


async def test_no_event_of_a_finished_batch_is_logged_with_what_fails_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, errors = Bench(fine), [StoreUnavailable("no mongod")]
    await bench.runner.process([record(FRAMES[0])])

    async def prepared() -> None:
        if errors:
            raise errors.pop()

    logs = captured_logs(runner, monkeypatch)
    assert await bench.runner.prepare(prepared)
    assert [entry["in_hand"] for entry in logs] == [[]]


async def test_a_batch_of_nothing_but_bad_bytes_does_not_reach_the_step() -> None:
    bench = Bench(fine)
    await bench.runner.process([Record("gaze.frames", 0, 7, b"key", b"{not json")])
    assert bench.step.done == []
    assert [letter.reason for letter in letters(bench.outbox)] == ["unreadable_event"]


async def test_a_dead_letter_keeps_the_record_whole() -> None:
    bench = Bench(fine)
    headers = (("ce_id", b"\xff1"), (REPLAY_HEADER, b"replay-1"), ("traceparent", b"00-1-2-01"))
    bad = Record("gaze.frames", 2, 7, b"\xff", b"\x00\xfe", headers=headers)
    await bench.runner.process([bad])
    (letter,) = letters(bench.outbox)
    assert letter.original_headers == (("ce_id", b"\xff1"),)
    assert letter.original_topic == "gaze.frames"
    assert (letter.partition, letter.offset) == (2, 7)
    assert (letter.original_key, letter.original_value) == (b"\xff", b"\x00\xfe")
    assert letter.service == "tester"
    assert "UnreadableEvent" in letter.traceback
    assert letter.failed_at == bench.clock.now()


async def test_a_record_without_a_value_is_dead_lettered() -> None:
    bench = Bench(fine)
    await bench.runner.process([Record("gaze.frames", 0, 0, b"key", None)])
    assert [letter.reason for letter in letters(bench.outbox)] == ["empty_record"]


async def test_bad_bytes_do_not_keep_their_neighbours() -> None:
    bench = Bench(fine)
    bad = Record("gaze.frames", 0, 1, b"key", b"[]")
    await bench.runner.process([record(FRAMES[0]), bad, record(FRAMES[1])])
    assert bench.step.done == [FRAMES[:2]]
    assert len(letters(bench.outbox)) == 1


async def test_an_event_twice_in_a_batch_is_processed_once() -> None:
    bench = Bench(fine)
    await bench.runner.process([record(FRAMES[0], 1), record(FRAMES[1], 2), record(FRAMES[0], 3)])
    assert bench.step.done == [FRAMES[:2]]


async def test_two_contents_under_one_event_id_both_reach_the_step() -> None:
    bench = Bench(fine)
    one = samples.predictions_made(samples.detection(score=0.9))
    other = samples.predictions_made(samples.detection(score=0.8))
    assert one.event_id == other.event_id
    await bench.runner.process([record(one), record(other)])
    assert bench.step.done == [[one, other]]


async def test_only_the_invalid_event_of_a_batch_is_dead_lettered() -> None:
    bench = Bench(refuses("f1"))
    await bench.runner.process([record(frame) for frame in FRAMES])
    assert bench.step.done == [[FRAMES[0]], [FRAMES[2]], [FRAMES[3]]]
    (letter,) = letters(bench.outbox)
    assert letter.reason == "invalid_record"
    assert letter.original_value == encode(FRAMES[1])


async def test_a_batch_that_is_invalid_only_as_a_whole_loses_nothing() -> None:
    def together(events: Sequence[Event]) -> Invalid | None:
        return ConflictingRevision("not together") if len(events) > 1 else None

    bench = Bench(together)
    await bench.runner.process([record(frame) for frame in FRAMES])
    assert bench.step.done == [[frame] for frame in FRAMES]
    assert bench.outbox.published == []


async def test_a_transient_error_is_retried_until_it_is_gone() -> None:
    errors = [StoreUnavailable("away") for _ in range(20)]
    bench = Bench(lambda _: errors.pop() if errors else None, retry_wait_max_s=5.0)
    await bench.runner.process([record(FRAMES[0])])
    assert bench.step.done == [[FRAMES[0]]]


async def test_waits_between_tries_grow_up_to_their_cap() -> None:
    waits: list[float] = []
    errors = [StoreUnavailable("away") for _ in range(20)]
    bench = Bench(lambda _: errors.pop() if errors else None, retry_wait_max_s=5.0)

    async def note(seconds: float) -> None:
        waits.append(seconds)

    bench.runner._sleep = note
    await bench.runner.process([record(FRAMES[0])])
    assert waits[0] < 1
    assert max(waits) == 5.0
    assert waits[-1] == 5.0


async def test_a_dead_letter_is_sent_again_until_the_broker_acknowledges() -> None:
    bench = Bench(refuses("f0"))
    bench.outbox.failures = [BrokerUnavailable("away"), BrokerUnavailable("away")]
    await bench.runner.process([record(FRAMES[0])])
    assert len(letters(bench.outbox)) == 1


@pytest.mark.parametrize("error", [RuntimeError("bug"), MemoryError(), TooManyDeadLetters("x")])
async def test_an_unknown_or_fatal_error_ends_the_process(error: BaseException) -> None:
    bench = Bench(lambda _: error)
    with pytest.raises(Exited) as exited:
        await bench.runner.process([record(FRAMES[0])])
    assert exited.value.code == ExitCode.FAILED
    assert bench.outbox.published == []


async def test_a_dead_letter_that_cannot_be_published_ends_the_process() -> None:
    bench = Bench(refuses("f0"))
    bench.outbox.failures = [InvalidRecord("the broker refuses it") for _ in range(2)]
    with pytest.raises(Exited) as exited:
        await bench.runner.process([record(FRAMES[0])])
    assert exited.value.code == ExitCode.FAILED


async def test_a_cancelled_batch_ends_the_process_before_it_can_be_acknowledged() -> None:
    bench = Bench(lambda _: asyncio.CancelledError())
    with pytest.raises(Exited) as exited:
        await bench.runner.process([record(FRAMES[0])])
    assert exited.value.code == ExitCode.UNDRAINED


def replayed(event: Event, offset: int = 0) -> Record:
    return replace(record(event, offset), headers=((REPLAY_HEADER, b"replay-1"),))


def changes(outbox: InMemoryOutbox) -> list[DeadLetterChanged]:
    return [event for event in outbox.published if isinstance(event, DeadLetterChanged)]


async def test_a_replay_that_is_processed_resolves_its_letter() -> None:
    bench = Bench(refuses("f0"))
    await bench.runner.process([record(FRAMES[0]), record(FRAMES[1])])
    (letter,) = letters(bench.outbox)
    bench.step._trouble = fine
    await bench.runner.process([replayed(FRAMES[0], 9), record(FRAMES[2])])
    (change,) = changes(bench.outbox)
    assert change.letter_id == letter.letter_id
    assert (change.change, change.service) == (LetterChange.RESOLVED, "tester")
    assert change.replay == "replay-1"


async def test_a_replay_is_answered_though_its_event_is_in_the_batch_already() -> None:
    bench = Bench(fine)
    await bench.runner.process([record(FRAMES[0]), replayed(FRAMES[0], 1)])
    assert len(changes(bench.outbox)) == 1


async def test_a_replay_that_fails_says_so_and_does_not_count_toward_the_limit() -> None:
    bench = Bench(refuses("f0"), dead_letter_run_limit=5)
    for offset in range(20):
        await bench.runner.process([replayed(FRAMES[0], offset)])
    assert {letter.replay for letter in letters(bench.outbox)} == {"replay-1"}
    assert len({letter.letter_id for letter in letters(bench.outbox)}) == 1


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OverflowError(), TypeError()])
async def test_an_event_on_which_a_step_stumbles_is_dead_lettered_alone(error: Exception) -> None:
    def stumbles(events: Sequence[Event]) -> Exception | None:
        return error if FRAMES[1] in events else None

    bench = Bench(stumbles)
    await bench.runner.process([record(frame) for frame in FRAMES])
    assert bench.step.done == [[FRAMES[0]], [FRAMES[2]], [FRAMES[3]]]
    (letter,) = letters(bench.outbox)
    assert letter.reason == "unexpected_error"
    assert type(error).__name__ in letter.detail
    assert "Traceback" in letter.traceback


async def test_a_batch_of_nothing_but_such_events_does_not_come_back_at_every_start() -> None:
    bench = Bench(lambda _: ValueError("stored"))
    await bench.runner.process([record(frame) for frame in FRAMES])
    assert len(letters(bench.outbox)) == len(FRAMES)


async def test_a_step_that_stumbles_on_everything_ends_the_process_at_the_limit() -> None:
    bench = Bench(lambda _: ValueError("a bug"), dead_letter_run_limit=len(FRAMES) + 1)
    await bench.runner.process([record(frame) for frame in FRAMES])
    with pytest.raises(Exited):
        await bench.runner.process([record(frame) for frame in FRAMES])


async def test_a_letter_is_short_enough_however_much_an_error_says() -> None:
    bench = Bench(lambda _: InvalidRecord("x" * 20_000_000))
    await bench.runner.process([Record("gaze.frames", 0, 0, b"k" * 4_000_000, b"?" * 4_000_000)])
    await bench.runner.process([record(FRAMES[0])])
    assert len(letters(bench.outbox)) == 2
    assert len(letters(bench.outbox)[0].key()) == 1000


async def test_a_record_that_is_too_large_once_it_is_encoded_is_cut_off() -> None:
    bench = Bench(fine)
    headers = (("\1" * 2_200_000, b""),)  # JSON takes six bytes for each
    await bench.runner.process([Record("gaze.frames", 3, 7, b"k", b"?", headers=headers)])
    (letter,) = letters(bench.outbox)
    assert (letter.location, letter.original_topic) == ("gaze.frames/3/7", None)
    assert (letter.original_value, letter.original_headers) == (b"?", ())


async def test_too_many_dead_letters_in_a_row_end_the_process() -> None:
    bench = Bench(fine, dead_letter_run_limit=5)
    bad = [Record("gaze.frames", 0, offset, b"", b"?") for offset in range(5)]
    await bench.runner.process(bad[:4])
    with pytest.raises(Exited) as exited:
        await bench.runner.process(bad[4:])
    assert exited.value.code == ExitCode.FAILED
    assert len(letters(bench.outbox)) == 5


async def test_a_good_event_ends_a_run_of_bad_ones() -> None:
    bench = Bench(fine, dead_letter_run_limit=5)
    bad = [Record("gaze.frames", 0, offset, b"", b"?") for offset in range(4)]
    await bench.runner.process(bad)
    await bench.runner.process([record(FRAMES[0])])
    await bench.runner.process(bad)
    assert len(letters(bench.outbox)) == 8


def test_a_high_share_of_bad_events_is_noticed_once_a_thousand_were_seen() -> None:
    limit = DeadLetterLimit(run=1000, ratio=0.5)
    for _ in range(499):
        limit.dead_lettered()
        limit.processed(1)
    limit.processed(1)
    with pytest.raises(TooManyDeadLetters):
        limit.dead_lettered()


def test_a_low_share_of_bad_events_is_tolerated() -> None:
    limit = DeadLetterLimit(run=1000, ratio=0.5)
    for _ in range(2000):
        limit.dead_lettered()
        limit.processed(2)


async def test_a_batch_that_waits_for_a_store_is_given_back_at_the_end() -> None:
    bench = Bench(lambda _: StoreUnavailable("away"))
    tried = asyncio.Event()

    async def sleep(_: float) -> None:
        tried.set()
        await asyncio.Event().wait()

    bench.runner._sleep = sleep
    batch = asyncio.create_task(bench.runner.process([record(FRAMES[0])]))
    await tried.wait()
    bench.runner.end()

    assert await batch is False
    assert bench.step.done == []
    assert bench.outbox.published == []


async def test_a_batch_that_needs_no_second_try_is_finished_at_the_end() -> None:
    bench = Bench(fine)
    bench.runner.end()

    assert await bench.runner.process([record(FRAMES[0])])
    assert bench.step.done == [[FRAMES[0]]]
