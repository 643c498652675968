"""What happens to a batch of records: the one place that retries, dead-letters or gives up."""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from services.contracts.codec import decode
from services.contracts.dead_letters import (
    DeadLetterChanged,
    DeadLettered,
    LetterChange,
    letter_of_record,
    partition_key_of,
)
from services.contracts.errors import (
    VALUE_ERRORS,
    BrokerUnavailable,
    DeliveryUnconfirmed,
    Invalid,
    StoreUnavailable,
    TooManyDeadLetters,
    Transient,
    Unprocessable,
)
from services.contracts.events import Event
from services.contracts.identity import EventId
from services.runtime.clock import Clock
from services.runtime.exits import Exit, ExitCode, exit_now
from services.runtime.kafka.records import Parsed, Record, TracedRecord
from services.runtime.observability import metrics
from services.runtime.observability.freshness import age_s, in_hand
from services.runtime.observability.traces import (
    OFF,
    RecordPosition,
    ServiceTraces,
    Spans,
    describe,
    give_up,
    note,
)
from services.runtime.progress import Progress, progress_of
from services.runtime.settings import Settings
from services.runtime.step import Outbox, Step

log = structlog.get_logger(__name__)

_PARTS_AWAY = (BrokerUnavailable, DeliveryUnconfirmed, StoreUnavailable)
_FIRST_WAIT_S = 0.1
_LONGEST_DETAIL = 10_000  # characters; a letter must not be refused for its own length
_LONGEST_TRACEBACK = 50_000
_MOST_NAMED = 10  # events in one line of the log
_RATIO_WINDOW = 1000  # events; `dead_letter_ratio_limit` is a share of these


class DeadLetterLimit:
    """Notices that so many events are bad that something else must be.

    Parameters
    ----------
    run : bad events in a row that are too many
    ratio : share of bad events, among the last thousand, that is too much
    """

    def __init__(self, run: int, ratio: float) -> None:
        self._run_limit = run
        self._ratio_limit = ratio
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=_RATIO_WINDOW)

    def good(self, count: int) -> None:
        """Count events that were processed."""
        if count:
            self._run = 0
            self._recent.extend([False] * count)

    def bad(self) -> None:
        """Count one dead letter.

        Raises
        ------
        TooManyDeadLetters
            One of the limits is reached.
        """
        self._run += 1
        self._recent.append(True)
        if self._run >= self._run_limit:
            raise TooManyDeadLetters(f"{self._run} events in a row could not be processed")
        share = sum(self._recent) / _RATIO_WINDOW
        if len(self._recent) == _RATIO_WINDOW and share >= self._ratio_limit:
            raise TooManyDeadLetters(f"{share:.0%} of the last {_RATIO_WINDOW} events were bad")


class _GivenBackError(Exception):
    """We were told to end between two tries: the batch is to be delivered again."""


def _as_invalid(error: Exception) -> Invalid:
    """The same as an error of ours, which keeps it as its cause."""
    if isinstance(error, Invalid):
        return error
    unforeseen = Unprocessable(f"{type(error).__name__}: {error}")
    unforeseen.__cause__ = error
    return unforeseen


class Runner:
    """Takes batches of records through a step, so that none is lost and none is stuck.

    Parameters
    ----------
    service : its name, for dead letters, logs and metrics
    step, outbox : the work, and where dead letters leave
    traces : the service's
    progress : what background work of the service reports to as well, where there is any
    exit_process : ends the process; unit tests give one that raises
    sleep : waits between tries; unit tests give one that does not
    """

    def __init__(
        self,
        service: str,
        step: Step,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
        *,
        traces: ServiceTraces = OFF,
        progress: Progress | None = None,
        exit_process: Exit = exit_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._step = step
        self._outbox = outbox
        self._clock = clock
        self._traces = traces
        self._in_hand: Sequence[Parsed] = ()
        self._limit = DeadLetterLimit(
            settings.dead_letter_run_limit, settings.dead_letter_ratio_limit
        )
        self._wait = wait_exponential_jitter(
            multiplier=_FIRST_WAIT_S, max=settings.retry_wait_max_s, jitter=_FIRST_WAIT_S
        )
        self._exit = exit_process
        self._sleep = sleep
        self._ending = asyncio.Event()
        self.progress = progress or Progress()
        self.waiting = ""
        """What part is away while a batch waits for it; empty where none is."""

    async def process(self, records: Sequence[Record]) -> bool:
        """Do all that a batch asks for; where this says True, its offsets may be committed.

        It never raises: what cannot be retried or dead-lettered ends the process instead, because
        the stream would acknowledge the batch if an exception passed through it. False says that
        `end` came while something was away: the batch must not be acknowledged.
        """
        started = self._clock.monotonic()
        with self._traces.batch(records) as spans:
            if not await self._or_exit(self._process(records, spans)):
                return False
        took = self._clock.monotonic() - started
        self._measure(records, took)
        log.debug("batch_done", service=self._service, events=len(records), seconds=round(took, 3))
        return True

    async def prepare(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do what must be done before the next batch, by the same rules; it never raises."""
        return await self._or_exit(self._until_not_transient(work))

    def end(self) -> None:
        """Try no more what is away, so that ending need not wait for it."""
        self._ending.set()

    async def _or_exit(self, work: Awaitable[None]) -> bool:
        try:
            with progress_of(self.progress):
                await work
        except _GivenBackError:
            log.info("batch_given_back", service=self._service)
            return False
        except asyncio.CancelledError:
            log.warning("batch_cancelled", service=self._service)
            self._exit(ExitCode.UNDRAINED)
        except BaseException:
            log.exception("batch_failed", service=self._service, **self._ids_in_hand())
            self._exit(ExitCode.FAILED)
        return True

    async def _process(self, records: Sequence[Record], spans: Spans) -> None:
        arrivals = await self._parse(records, spans)
        if not arrivals:
            return
        try:
            await self._run(arrivals)
        except (Invalid, *VALUE_ERRORS) as exc:
            if len(arrivals) == 1:
                await self._bury(arrivals[0], _as_invalid(exc))
            else:
                await self._run_each_alone(arrivals)
        else:
            await self._note_processed(arrivals)

    async def _run_each_alone(self, arrivals: Sequence[Parsed]) -> None:
        unforeseen: list[tuple[Parsed, Exception]] = []
        for arrival in arrivals:
            self.progress.report()
            try:
                await self._run([arrival])
            except Invalid as exc:
                await self._bury(arrival, exc)
            except VALUE_ERRORS as exc:
                unforeseen.append((arrival, exc))
            else:
                await self._note_processed([arrival])
        if len(unforeseen) == len(arrivals):
            # Then it is not the events: a bug, or something stored.
            raise unforeseen[0][1]
        for arrival, error in unforeseen:
            await self._bury(arrival, _as_invalid(error))

    async def _note_processed(self, arrivals: Sequence[Parsed]) -> None:
        """Count these, and resolve the dead letters that were replayed by them."""
        replayed = [arrival for arrival in arrivals if arrival.record.replay is not None]
        self._limit.good(len(arrivals) - len(replayed))
        if not replayed:
            return
        changes = [self._resolved(parsed.record) for parsed in replayed]
        await self._until_not_transient(lambda: self._outbox.publish(changes))
        log.info("dead_letters_resolved", service=self._service, letters=len(changes))

    def _resolved(self, record: Record) -> DeadLetterChanged:
        value = record.value or b""
        return DeadLetterChanged(
            letter_id=letter_of_record(record.topic, record.key, value),
            change=LetterChange.RESOLVED,
            replay=record.replay,
            service=self._service,
            partition_key=partition_key_of(record.key),
            changed_at=self._clock.now(),
        )

    async def _parse(self, records: Sequence[Record], spans: Spans) -> list[Parsed]:
        # Two contents under one event id are a conflict for the store to refuse, not a duplicate.
        seen: dict[EventId, Event] = {}
        arrivals = []
        for record in records:
            span = spans.get(RecordPosition.of(record)) if spans else None
            try:
                event = decode(record.topic, record.value)
            except Invalid as exc:
                await self._bury(TracedRecord(record, span), exc)
                continue
            first = seen.setdefault(event.event_id, event)
            # A replay is answered by itself, whatever else is in the batch.
            if first is event or first != event or record.replay is not None:
                describe(span, event)
                arrivals.append(Parsed(record, span, event))
            else:
                metrics.EVENTS_DUPLICATED.labels(self._service).inc()
        return arrivals

    async def _run(self, arrivals: Sequence[Parsed]) -> None:
        self._in_hand = arrivals
        events = [arrival.event for arrival in arrivals]
        causes = [(arrival.event, arrival.span) for arrival in arrivals]
        with self._traces.within(causes), in_hand(arrivals):
            await self._until_not_transient(lambda: self._step.run(events))
        if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
            for arrival in arrivals:
                log.debug("event_done", service=self._service, **arrival.ids())

    async def _until_not_transient(self, work: Callable[[], Awaitable[None]]) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            wait=self._wait,
            sleep=self._pause,
            before_sleep=self._note_retry,
            reraise=True,
        ):
            with attempt:
                await work()
                self.waiting = ""

    async def _pause(self, seconds: float) -> None:
        ending = asyncio.ensure_future(self._ending.wait())
        pause = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((ending, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            pause.cancel()
        if self._ending.is_set():
            raise _GivenBackError

    async def _bury(self, arrival: TracedRecord, error: Invalid) -> None:
        record = arrival.record
        give_up(arrival.span, error.reason)
        letter = DeadLettered(
            service=self._service,
            reason=error.reason,
            detail=str(error)[:_LONGEST_DETAIL],
            traceback="".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:],
            original_topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            original_key=record.key,
            original_value=record.value or b"",
            failed_at=self._clock.now(),
            replay=record.replay,
        )
        await self._until_not_transient(lambda: self._outbox.publish([letter]))
        metrics.DEAD_LETTERS.labels(self._service, error.reason).inc()
        log.warning(
            "event_dead_lettered",
            service=self._service,
            reason=error.reason,
            detail=str(error)[:_LONGEST_DETAIL],
            **arrival.ids(),
        )
        if record.replay is None:
            # Of those that an operator sends again, many may fail; that says nothing new.
            self._limit.bad()

    def _note_retry(self, state: RetryCallState) -> None:
        self.progress.report()  # a restart would not bring back what is awaited
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _PARTS_AWAY):
            self.waiting = f"{type(error).__name__}: {error}"
        metrics.RETRIES.labels(self._service, type(error).__name__).inc()
        log.warning(
            "batch_retried",
            service=self._service,
            attempt=state.attempt_number,
            wait_s=round(state.upcoming_sleep, 2),
            error=f"{type(error).__name__}: {error}",
            **self._ids_in_hand(),
        )
        note("retried", **{"error.type": type(error).__name__})

    def _ids_in_hand(self) -> dict[str, list[dict[str, object]]]:
        """Which events are meant, some of them: a line a batch names no more than one can read."""
        return {"in_hand": [parsed.ids() for parsed in self._in_hand[:_MOST_NAMED]]}

    def _measure(self, records: Sequence[Record], took: float) -> None:
        now = self._clock.now()
        for record in records:
            metrics.EVENTS_CONSUMED.labels(self._service, record.topic).inc()
            if record.taken_at is not None:
                age = age_s(record.taken_at, now)
                metrics.EVENT_AGE_SECONDS.labels(self._service, record.topic).observe(age)
        metrics.BATCH_EVENTS.labels(self._service).observe(len(records))
        metrics.BATCH_SECONDS.labels(self._service).observe(took)
