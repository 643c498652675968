"""Faust's stream of records, taken in batches that only the caller acknowledges.

Faust's own `Stream.take_events` acknowledges a batch whenever the agent's body unwinds, processed
or not, and costs four times as much per event (`python -m benchmarks.consuming`). Here batches come
from the queue that Faust fills for the stream, and an event is acknowledged by `event.ack()` alone.
Faust still fetches, assigns partitions, clears the queue when they move, and commits.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import EventT, StreamT
from mode.services import WaitResults
from mode.utils.queues import ThrowableQueue

from services.runtime.exits import Exit, ExitCode
from services.runtime.kafka.fetched_records import MAX_POLLED_RECORDS, bound_fetches
from services.runtime.kafka.partition_resuming import PartitionResuming
from services.runtime.kafka.records import Record, TransactionEnd, size_of

log = structlog.get_logger(__name__)

_DELIVERY = 2
"""Faust's consumer calls `wait_first(delivery, suspension)` for a record; its other waits have one
part."""


class Buffer(ThrowableQueue[EventT[bytes]]):
    """Events that wait for a batch, bounded in number and in bytes.

    Parameters
    ----------
    maxsize : number of events from which it is full
    max_bytes : bytes of events from which it is full, however few they are
    """

    def __init__(self, maxsize: int, max_bytes: int, **kwargs: Any) -> None:
        super().__init__(maxsize, **kwargs)
        self._max_bytes = max_bytes
        self._bytes = 0

    def full(self) -> bool:
        """Whether the next event must wait."""
        return super().full() or self._bytes >= self._max_bytes

    def clear(self) -> None:
        """Drop all events; Faust does so when partitions move."""
        super().clear()
        self._bytes = 0

    def _put(self, event: EventT[bytes]) -> None:
        self._bytes += _size_of(event)
        super()._put(event)

    def _get(self) -> EventT[bytes]:
        event: EventT[bytes] = super()._get()
        self._bytes -= _size_of(event)
        return event


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is complete.

    Attributes
    ----------
    events : most events of a batch
    max_bytes : bytes from which a batch is full; its last event may go beyond
    within_s : how long an event waits for others at most, in seconds. An event that came while the
        batch before was processed has waited that long already, so that batches begin at this
        interval and not at this interval plus the time that one takes
    """

    events: int
    max_bytes: int
    within_s: float


class StreamApp(faust.App):
    """A Faust app with one stream, which exits the process when it crashes and creates no folders.

    Parameters
    ----------
    max_buffer_bytes : bytes of events that wait for a batch
    exit_process : ends the process
    """

    def __init__(
        self, *args: Any, max_buffer_bytes: int, exit_process: Exit, **kwargs: Any
    ) -> None:
        self.ending = False
        self.buffer: Buffer | None = None
        self._max_buffer_bytes = max_buffer_bytes
        self._exit_process = exit_process
        bound_fetches()
        super().__init__(
            *args,
            broker_max_poll_records=MAX_POLLED_RECORDS,
            TableManager=PartitionResuming,
            **kwargs,
        )

    def accepts(self) -> bool:
        """Whether a record can be delivered to the stream at once."""
        buffer = self.buffer
        return buffer is not None and not buffer.full() and self.flow_control.is_active()

    def is_current(self, event: Any) -> bool:
        """Whether the event's partition has not moved since it was fetched.

        Faust reads the others again from the committed offset, here or in another process.
        """
        generation = event.message.generation_id
        return self.flow_control.is_active() and generation == self.consumer_generation_id

    def FlowControlQueue(self, maxsize: Any = None, **kwargs: Any) -> Buffer:  # noqa: N802
        """The queue of a channel."""
        return Buffer(maxsize, self._max_buffer_bytes, flow_control=self.flow_control, **kwargs)

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport.Consumer = _StreamConsumer
        return transport

    def _crash(self, reason: BaseException) -> None:
        if not self.ending:
            # Otherwise the process would keep running without consuming anything.
            log.error("faust_crashed", app=self.conf.id, exc_info=reason)
            self._exit_process(ExitCode.FAILED)
        super()._crash(reason)

    def _create_directories(self) -> None:
        """Do nothing: only Faust's Tables need folders, and this app has none."""


class _CommittedOnly(AIOKafkaConsumerThread):
    """Faust's thread of a consumer that does not deliver records of aborted transactions."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> AIOKafkaConsumer:
        consumer = super()._create_consumer(loop)
        # Faust sets this itself, by whether it produces in transactions.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer


class _StreamConsumer(Consumer):
    """Delivers a record without a task where it can be delivered at once."""

    app: StreamApp

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedOnly(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109
        # Faust makes four tasks to wait for a record's delivery, a rebalance, a stop and a crash:
        # 50 of the 70 µs that an event took. A delivery into a buffer with room waits for none.
        if len(coros) == _DELIVERY and self.app.accepts():
            delivery, suspension = coros
            suspension.close()
            return WaitResults([delivery], [await delivery], False)
        return await super().wait_first(*coros, timeout=timeout)

    async def perform_seek(self) -> None:
        """Go back to what is not committed, in every partition that is assigned.

        aiokafka leaves a partition without a committed offset where it is. What was fetched of it
        and dropped in a rebalance would be delivered at the next start at the earliest, and never
        if what comes after it was committed.
        """
        # Nothing beyond what is dropped may be delivered, and so committed, before the seek.
        # Faust resumes the flow after it.
        self.stop_flow()
        await super().perform_seek()
        unread = [TopicPartition(*tp) for tp in self.assignment() if not self._committed_offset[tp]]
        if unread:
            with suppress(IllegalStateError):  # they have moved again; another seek follows that
                await self._thread.seek_to_beginning(*unread)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Pass over offsets without records, up to that of a record that is about to come.

        Faust lists every missing offset at the next commit, in 40 bytes each: a gigabyte where a
        backup restored on its own broker is older than the records that are kept.
        """
        while self._commit_fut is not None:  # its end sets the offset to what it has committed
            await asyncio.wait({self._commit_fut})
        committed = self._committed_offset[tp]
        if (
            committed is None
            or offset_from > committed + 1
            or max(self._acked[tp], default=0) >= committed
        ):
            await super()._add_gap(tp, offset_from, offset_to)
        else:
            # Nothing is committed by this: the record itself is not acknowledged.
            self._committed_offset[tp] = offset_to

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Do nothing: Faust would miss what is taken from the buffer; `Watchdog` sees stalls."""


async def batches(
    stream: StreamT[bytes], limits: BatchLimits
) -> AsyncIterator[list[EventT[bytes]]]:
    """Batches of events, none of them acknowledged, until the app stops."""
    app = stream.app
    assert isinstance(app, StreamApp)
    buffer: Buffer = stream.channel.queue  # type: ignore[attr-defined]  # a stream has a channel
    app.buffer = buffer
    taken_at = 0.0
    while True:
        try:
            taken = await _take(buffer, limits, taken_at)
        except StopAsyncIteration:  # Faust throws it into the queue of an app that stops
            return
        taken_at = asyncio.get_running_loop().time()
        if current := [event for event in taken if app.is_current(event)]:
            yield current


async def _take(buffer: Buffer, limits: BatchLimits, taken_at: float) -> list[EventT[bytes]]:
    """A batch; the one before was taken at `taken_at` by the loop's clock."""
    has_waited = not buffer.empty()
    events = [await buffer.get()]
    since = taken_at if has_waited else asyncio.get_running_loop().time()
    room = limits.max_bytes - _size_of(events[0])
    with suppress(TimeoutError):
        async with asyncio.timeout_at(since + limits.within_s):
            while len(events) < limits.events and room > 0:
                events.append(await buffer.get())
                room -= _size_of(events[-1])
    return events


def record_of(event: EventT[bytes]) -> Record:
    """The record that Faust delivers as this event."""
    message = event.message
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key or b"",
        message.value,
        message.timestamp,
        tuple((name, content or b"") for name, content in dict(message.headers or ()).items()),
    )


def ends_transaction(event: EventT[bytes]) -> bool:
    """Whether the event is no record, but stands for the end of a transaction."""
    return isinstance(event.message.value, TransactionEnd)


def _size_of(event: EventT[bytes]) -> int:
    message = event.message
    headers: Any = message.headers or ()
    return size_of(message.key, message.value, headers)
