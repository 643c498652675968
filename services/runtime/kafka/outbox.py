"""Publishes events to Kafka, idempotently, and waits for the acknowledgements."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Self

from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from services.contracts.codec import EventVersion, in_one_partition, written
from services.contracts.errors import BrokerUnavailable, DeliveryUnconfirmed, InvalidRecord
from services.contracts.events import Event
from services.contracts.matches import FrameMatched
from services.contracts.topics import MATCHES, topic_of
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.limits import largest_value
from services.runtime.kafka.partitions import partition_of_key
from services.runtime.kafka.shared_producer import MISCONFIGURED, SharedProducer, uncancelled
from services.runtime.observability import metrics
from services.runtime.observability.traces import OFF, Headers, ServiceTraces
from services.runtime.settings import Settings

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_MARGIN_S = 1.0
"""Wait this much longer than the producer's delivery timeout, so that its error arrives first."""
_THREADS = 8  # tasks that pass records to the producer at once; acknowledgements use no thread


@dataclass(frozen=True)
class OutgoingRecord:
    """An encoded record to be published; `partitioned_by` may differ from its key."""

    topic: str
    key: bytes
    value: bytes
    partitioned_by: str
    headers: Headers = ()

    @classmethod
    def of(
        cls,
        event: Event,
        version: EventVersion,
        partition: Callable[[str], int] = in_one_partition,
        headers: Headers = (),
    ) -> list[Self]:
        """The records that carry this event; see `codec.written`."""
        return [
            cls(topic_of(event).name, form.key().encode(), value, form.partitioned_by(), headers)
            for form, value in written(event, version, partition)
        ]


class KafkaOutbox:
    """Publishes to Kafka and returns once every record is acknowledged by all replicas.

    Connects at the first publish. Any number of tasks may publish at once.

    Parameters
    ----------
    service : name of the publishing service, for the metrics
    traces : the service's traces
    """

    def __init__(
        self,
        service: str,
        broker: BrokerAddress,
        settings: Settings,
        *,
        traces: ServiceTraces = OFF,
    ) -> None:
        self._service = service
        self._traces = traces
        self._broker = broker
        self._version = settings.event_version
        self._patience_s = settings.delivery_timeout_s + _MARGIN_S
        self._shared = SharedProducer(broker, settings)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"outbox-{service}")

    async def publish(self, events: Sequence[Event]) -> None:
        """Send all and return once the broker has acknowledged every one.

        Raises
        ------
        BrokerUnavailable, DeliveryUnconfirmed
            Some may have been sent; sending all again is harmless.
        InvalidRecord
            An event is larger than its topic allows.
        """
        if not events:
            return
        with self._traces.sending(events) as headers:
            partition = await self._partition_of_category(events)
            records = [
                record
                for event, own in zip(events, headers, strict=True)
                for record in OutgoingRecord.of(event, self._version, partition, own)
            ]
            await self.publish_records(records)

    async def _partition_of_category(self, events: Sequence[Event]) -> Callable[[str], int]:
        """The partition of each key in the topic of matches, which version 2 divides by it."""
        if self._version == 1 or not any(isinstance(event, FrameMatched) for event in events):
            return in_one_partition
        async with self._producer() as producer:
            loop = asyncio.get_running_loop()
            partitions = await loop.run_in_executor(
                self._threads, producer.partitions_for, MATCHES.name
            )
        return partial(partition_of_key, partitions=len(partitions))

    async def publish_records(self, records: Sequence[OutgoingRecord]) -> None:
        """Like `publish`, for records that are encoded already."""
        if not records:
            return
        for record in records:
            _check_size(record)
        await self._deliver(records)
        for topic, count in Counter(record.topic for record in records).items():
            metrics.EVENTS_PUBLISHED.labels(self._service, topic).inc(count)

    async def close(self) -> None:
        """Close the connection; everything published is already acknowledged."""
        await self._shared.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self, records: Sequence[OutgoingRecord]) -> None:
        async with self._producer() as producer:
            loop = asyncio.get_running_loop()
            sent = await loop.run_in_executor(self._threads, _hand_over, producer, records)
            await uncancelled(sent)

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[Any]:
        """The connected producer; translates its errors, and the end of our patience."""
        producer = await self._shared.connected()
        try:
            async with asyncio.timeout(self._patience_s):
                yield producer
        except _TOO_LARGE as exc:
            raise _too_large(str(exc)) from exc
        except MISCONFIGURED:
            raise
        except (KafkaError, TimeoutError) as exc:
            # A producer that gave up a record may have a gap in its sequence numbers, so the next
            # publish starts a new one. Consumers tolerate records that are sent twice.
            self._shared.discard(producer)
            raise self._translated(exc) from exc

    def _translated(self, exc: KafkaError | TimeoutError) -> Exception:
        if isinstance(exc, TimeoutError):
            return DeliveryUnconfirmed(f"{self._broker}: no answer in {self._patience_s:.0f} s")
        known = translate(exc, self._broker)
        if isinstance(known, BrokerUnavailable):
            return DeliveryUnconfirmed(f"{type(exc).__name__}: {exc}")
        return known


class _Delivery:
    """Counts the acknowledgements of records; `done` ends with the last, or with the first error.

    The producer's own thread calls it, so that no other thread waits for the broker.
    """

    def __init__(self, records: int) -> None:
        self.done: Future[None] = Future()
        self._missing = records
        self._lock = Lock()

    def acknowledged(self, _: object) -> None:
        with self._lock:
            self._missing -= 1
            if not self._missing and not self.done.done():
                self.done.set_result(None)

    def failed(self, exc: BaseException) -> None:
        with self._lock:
            if not self.done.done():
                self.done.set_exception(exc)


def _hand_over(producer: Any, records: Sequence[OutgoingRecord]) -> "Future[None]":
    """Queue all in the producer, whose thread sends them; blocks only on a topic's first use."""
    delivery = _Delivery(len(records))
    for record in records:
        partitions = producer.partitions_for(record.topic)
        partition = partition_of_key(record.partitioned_by, len(partitions))
        future = producer.send(
            record.topic, record.value, record.key, list(record.headers), partition=partition
        )
        future.add_callback(delivery.acknowledged)
        future.add_errback(delivery.failed)
    return delivery.done


def _check_size(record: OutgoingRecord) -> None:
    most = largest_value(record.topic)
    if len(record.value) > most:
        raise _too_large(f"{record.topic}: {len(record.value)} bytes, and {most} are allowed")


def _too_large(detail: str) -> InvalidRecord:
    return InvalidRecord(detail, reason="event_too_large")
