"""Where events leave for Kafka: idempotently, to the partition that they name, acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import (
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from services.contracts.codec import encode
from services.contracts.errors import BrokerUnavailable, DeliveryUnconfirmed, InvalidRecord
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.runtime import metrics
from services.runtime.broker import BrokerAddress, translate
from services.runtime.broker_login import check_login
from services.runtime.limits import MAX_DEAD_LETTER_BYTES, largest_value
from services.runtime.partitions import partition_of_key
from services.runtime.settings import Settings
from services.runtime.traces import OFF, Headers, ServiceTraces

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_MISCONFIGURED = (InvalidTopicError, KafkaConfigurationError)
_REQUEST_OVERHEAD = 64 * 1024
_LINGER_MS = 2
_CLOSE_S = 2.0
_THREADS = 8  # publishers that wait for the broker at the same time: HTTP requests, mostly


@dataclass(frozen=True)
class Parcel:
    """A record that is about to leave; what decides its partition may differ from its key."""

    topic: str
    key: bytes
    value: bytes
    partitioned_by: str
    headers: Headers = ()

    @classmethod
    def of(cls, event: Event, headers: Headers = ()) -> Self:
        """The record that carries this event."""
        key = event.key().encode()
        return cls(topic_of(event).name, key, encode(event), event.partitioned_by(), headers)


class KafkaOutbox:
    """Publishes to Kafka and returns once every record is acknowledged by all replicas.

    Connects at the first publish. Any number of tasks may publish at once.

    Parameters
    ----------
    service : who publishes, for the metrics
    traces : the service's
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
        self._timeout_s = settings.delivery_timeout_s
        self._metadata_max_age_ms = int(settings.metadata_max_age_s * 1000)
        self._lock = Lock()
        self._producer: KafkaProducer | None = None
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
            parcels = [Parcel.of(*each) for each in zip(events, headers, strict=True)]
            await self.publish_parcels(parcels)

    async def publish_parcels(self, parcels: Sequence[Parcel]) -> None:
        """What `publish` does, for records that are bytes already."""
        for parcel in parcels:
            _check_size(parcel)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._deliver, parcels)
        for topic, count in Counter(parcel.topic for parcel in parcels).items():
            metrics.EVENTS_PUBLISHED.labels(self._service, topic).inc(count)

    async def close(self) -> None:
        """Let go of the broker; what was published is already acknowledged."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._close)
        self._threads.shutdown()

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        producer = self._connected()
        try:
            sent = [self._send(producer, parcel) for parcel in parcels]
            for future in sent:
                future.get(self._timeout_s)
        except _TOO_LARGE as exc:
            raise _too_large(str(exc)) from exc
        except _MISCONFIGURED:
            raise
        except KafkaError as exc:
            # A producer that gave a record up may have a gap in its sequence numbers; the next
            # publish begins with a new one. Records sent twice are duplicates, which are invisible.
            self._discard(producer)
            ours = translate(exc, self._broker)
            if isinstance(ours, BrokerUnavailable):
                raise DeliveryUnconfirmed(f"{type(exc).__name__}: {exc}") from exc
            raise ours from exc

    def _send(self, producer: KafkaProducer, parcel: Parcel) -> Any:
        partitions = producer.partitions_for(parcel.topic)
        partition = partition_of_key(parcel.partitioned_by, len(partitions))
        return producer.send(
            parcel.topic, parcel.value, parcel.key, list(parcel.headers), partition=partition
        )

    def _connected(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                self._producer = self._connect()
            return self._producer

    def _connect(self) -> KafkaProducer:
        check_login(self._broker)
        timeout_ms = int(self._timeout_s * 1000)
        try:
            return KafkaProducer(
                **self._broker.client_options,
                acks="all",
                enable_idempotence=True,  # by default it is given up where a setting contradicts
                max_request_size=MAX_DEAD_LETTER_BYTES + _REQUEST_OVERHEAD,
                linger_ms=_LINGER_MS,
                delivery_timeout_ms=timeout_ms,
                request_timeout_ms=timeout_ms // 2,
                max_block_ms=timeout_ms,
                metadata_max_age_ms=self._metadata_max_age_ms,
                bootstrap_timeout_ms=timeout_ms,
                reconnect_backoff_max_ms=1000,
                allow_auto_create_topics=self._broker.in_memory,
                metrics_enabled=False,
            )
        except _MISCONFIGURED:
            raise
        except KafkaError as exc:
            raise translate(exc, self._broker) from exc

    def _discard(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        producer.close(timeout=0)

    def _close(self) -> None:
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=_CLOSE_S)


def _check_size(parcel: Parcel) -> None:
    most = largest_value(parcel.topic)
    if len(parcel.value) > most:
        raise _too_large(f"{parcel.topic}: {len(parcel.value)} bytes, and {most} are allowed")


def _too_large(detail: str) -> InvalidRecord:
    return InvalidRecord(detail, reason="event_too_large")
