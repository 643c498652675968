"""Runs batches of records through a step: the only place that retries, dead-letters or exits."""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

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
    InvalidRecord,
    StoreUnavailable,
    Transient,
    Unprocessable,
    UnreadableEvent,
)
from services.contracts.events import Event
from services.runtime.clock import Clock
from services.runtime.consumed import consuming
from services.runtime.exits import Exit, ExitCode, exit_now
from services.runtime.kafka.dead_letter_limit import DeadLetterLimit
from services.runtime.kafka.limits import MAX_EVENT_BYTES
from services.runtime.kafka.records import (
    Decoder,
    EventDecoder,
    Parsed,
    Record,
    TracedRecord,
    UnreadableBatch,
    size_of,
)
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
_MAX_DETAIL_LENGTH = 10_000  # characters; a dead letter must not exceed the topic's size limit
_MAX_TRACEBACK_LENGTH = 50_000
_MAX_WHOLE_BYTES = MAX_EVENT_BYTES + 256 * 1024
"""Bytes of a record that fit into a dead letter. Topics of other systems may have larger ones."""
_MAX_NAMED = 10  # events in one line of the log


class _GivenBackError(Exception):
    """`end` was called between two attempts: the broker must deliver the batch again."""


def _as_invalid(error: Exception) -> Invalid:
    """The error itself if it is Invalid, else an Unprocessable with the error as its cause."""
    if isinstance(error, Invalid):
        return error
    unexpected = Unprocessable(f"{type(error).__name__}: {error}")
    unexpected.__cause__ = error
    return unexpected


class Runner:
    """Takes batches of records through a step, so that none is lost and none blocks the others.

    Parameters
    ----------
    service : its name, for dead letters, logs and metrics
    step : processes the events
    outbox : publishes dead letters
    decoder : decodes the records; by default, those of Gazeloop's own topics
    traces : the service's traces
    progress : shared with the service's background work, where it has any
    exit_process : ends the process; unit tests pass one that raises
    sleep : waits between attempts; unit tests pass one that returns at once
    """

    def __init__(
        self,
        service: str,
        step: Step,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
        *,
        decoder: Decoder | None = None,
        traces: ServiceTraces = OFF,
        progress: Progress | None = None,
        exit_process: Exit = exit_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._step = step
        self._outbox = outbox
        self._clock = clock
        self._decoder = decoder or EventDecoder()
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
        """The error of the broker or store that the batch waits for; empty if it waits for none."""

    async def process(self, records: Sequence[Record]) -> bool:
        """Process a batch; True if its offsets may be committed.

        It never raises: an error that can be neither retried nor dead-lettered ends the process,
        because the stream would acknowledge the batch if an exception passed through it. False
        means that `end` was called during a retry: the batch must not be acknowledged.
        """
        started = self._clock.monotonic()
        with self._traces.batch(records) as spans:
            if not await self._or_exit(self._process(records, spans)):
                return False
        self._in_hand = ()
        took = self._clock.monotonic() - started
        self._measure(records, took)
        log.debug("batch_done", service=self._service, events=len(records), seconds=round(took, 3))
        return True

    async def prepare(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do work that must precede the next batch, with the same retries; never raises."""
        return await self._or_exit(self._until_not_transient(work))

    def end(self) -> None:
        """Stop retrying, so that a stop need not wait for a broker or store that is down."""
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
        batch = await self._parse(records, spans)
        if not batch:
            return
        try:
            await self._run(batch, records)
        except (Invalid, *VALUE_ERRORS) as exc:
            if len(batch) == 1:
                await self._dead_letter(batch[0], _as_invalid(exc))
            else:
                await self._run_singly(batch)
        else:
            await self._note_processed(batch)

    async def _run_singly(self, batch: Sequence[Parsed]) -> None:
        # A value that the step cannot handle is dead-lettered even if all events of the batch
        # fail: ending the process would bring the same batch back at every start. Where the
        # step itself is wrong, the limit on dead letters stops the service.
        for parsed in batch:
            self.progress.report()
            try:
                await self._run([parsed])
            except (Invalid, *VALUE_ERRORS) as exc:
                await self._dead_letter(parsed, _as_invalid(exc))
            else:
                await self._note_processed([parsed])

    async def _note_processed(self, batch: Sequence[Parsed]) -> None:
        """Count these events, and mark the dead letters whose replays they are as resolved."""
        replayed = [parsed for parsed in batch if parsed.record.replay is not None]
        self._limit.processed(len(batch) - len(replayed))
        if not replayed:
            return
        changes = [self._resolved(parsed.record) for parsed in replayed]
        await self._publish(changes)
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
        seen: set[Hashable] = set()
        batch = []
        for record in records:
            contents = self._decoder.contents(record)
            # A replay is never skipped as a duplicate: its dead letter needs its own outcome.
            if contents in seen and record.replay is None:
                metrics.EVENTS_DUPLICATED.labels(self._service).inc()
                continue
            span = spans.get(RecordPosition.of(record)) if spans else None
            try:
                event = self._decoded(record)
            except Invalid as exc:
                await self._dead_letter(TracedRecord(record, span), exc)
                continue
            seen.add(contents)
            describe(span, event)
            batch.append(Parsed(record, span, event))
        return batch

    def _decoded(self, record: Record) -> Event:
        if isinstance(record.value, UnreadableBatch):
            raise UnreadableEvent(record.value.decode(), reason="unreadable_batch")
        return self._decoder.decode(record)

    async def _run(self, batch: Sequence[Parsed], records: Sequence[Record] = ()) -> None:
        self._in_hand = batch
        events = [parsed.event for parsed in batch]
        causes = [(parsed.event, parsed.span) for parsed in batch]
        with self._traces.within(causes), in_hand(batch), consuming(batch, records):
            await self._until_not_transient(lambda: self._step.run(events))
        if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
            for parsed in batch:
                log.debug("event_done", service=self._service, **parsed.ids())

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

    async def _publish(self, events: Sequence[Event]) -> None:
        await self._until_not_transient(lambda: self._outbox.publish(events))

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

    async def _dead_letter(self, traced: TracedRecord, error: Invalid) -> None:
        give_up(traced.span, error.reason)
        dead_letter = _dead_letter_of(traced.record, error, self._service, self._clock.now())
        try:
            await self._publish([dead_letter])
        except InvalidRecord:
            # Encoded, names and many small headers take several times their bytes.
            dead_letter = _cut_off(dead_letter, traced.record)
            await self._publish([dead_letter])
        metrics.DEAD_LETTERS.labels(self._service, error.reason).inc()
        log.warning(
            "event_dead_lettered",
            service=self._service,
            reason=error.reason,
            detail=dead_letter.detail,
            **traced.ids(),
        )
        if traced.record.replay is None:
            # Failing replays do not count: the limit has counted their first failure already.
            self._limit.dead_lettered()

    def _note_retry(self, state: RetryCallState) -> None:
        self.progress.report()  # not a stall: a restart would not bring the broker or store back
        error = state.outcome.exception() if state.outcome else None
        self.waiting = f"{type(error).__name__}: {error}" if isinstance(error, _PARTS_AWAY) else ""
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
        """Log field with the ids of the current batch's first events, few enough to read."""
        return {"in_hand": [parsed.ids() for parsed in self._in_hand[:_MAX_NAMED]]}

    def _measure(self, records: Sequence[Record], took: float) -> None:
        now = self._clock.now()
        ages = {}
        for topic, count in Counter(record.topic for record in records).items():
            metrics.EVENTS_CONSUMED.labels(self._service, topic).inc(count)
            ages[topic] = metrics.EVENT_AGE_SECONDS.labels(self._service, topic)
        for record in records:
            if record.taken_at is not None:
                ages[record.topic].observe(age_s(record.taken_at, now))
        metrics.BATCH_EVENTS.labels(self._service).observe(len(records))
        metrics.BATCH_SECONDS.labels(self._service).observe(took)


def _dead_letter_of(record: Record, error: Invalid, service: str, now: datetime) -> DeadLettered:
    """The record as a dead letter; one that is too large is cut off, and cannot be replayed."""
    value, headers = record.value or b"", record.own_headers
    dead_letter = DeadLettered(
        service=service,
        reason=error.reason,
        detail=str(error)[:_MAX_DETAIL_LENGTH],
        traceback="".join(traceback.format_exception(error))[-_MAX_TRACEBACK_LENGTH:],
        original_topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        original_key=record.key,
        original_value=value[:_MAX_WHOLE_BYTES],
        original_headers=headers,
        failed_at=now,
        replay=record.replay,
    )
    is_small = size_of(record.key, value, headers) <= _MAX_WHOLE_BYTES
    is_whole = is_small and not isinstance(value, UnreadableBatch)
    return dead_letter if is_whole else _cut_off(dead_letter, record)


def _cut_off(dead_letter: DeadLettered, record: Record) -> DeadLettered:
    """The dead letter without key and headers, and without a topic to replay it to."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    absent = {"original_topic": None, "original_key": b"", "original_headers": ()}
    return dead_letter.model_copy(update={"location": place, **absent})
