"""Publishes events to Kafka, idempotently, and waits for the acknowledgements."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from services.contracts.erasures import MatchesErased
from services.contracts.errors import BrokerUnavailable, DeliveryUnconfirmed, InvalidSettings
from services.contracts.events import Event
from services.contracts.matches import FrameMatched
from services.contracts.topics import MATCHES
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import Connect, OutgoingRecord, Producer
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.limits import largest_value, too_large
from services.runtime.kafka.shared_producer import SharedProducer, uncancelled
from services.runtime.observability import metrics
from services.runtime.observability.traces import OFF, ServiceTraces
from services.runtime.settings import Settings

_MARGIN_S = 1.0
"""Wait this much longer than the producer's delivery timeout, so that its error arrives first."""
_THREADS = 8  # tasks that pass records to the producer at once; acknowledgements use no thread


class KafkaOutbox:
    """Publishes to Kafka and returns once every record is acknowledged by all replicas.

    Connects at the first publish. Any number of tasks may publish at once.

    Parameters
    ----------
    service : name of the publishing service, for the metrics
    connect : makes the producer
    traces : the service's traces
    """

    def __init__(
        self,
        service: str,
        broker: BrokerAddress,
        settings: Settings,
        *,
        connect: Connect = connect_kafka_python,
        traces: ServiceTraces = OFF,
    ) -> None:
        self._service = service
        self._traces = traces
        self._broker = broker
        self._version = settings.event_version
        self._patience_s = settings.delivery_timeout_s + _MARGIN_S
        self._shared = SharedProducer(broker, settings, connect)
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
            partitions = await self._partitions_of_matches(events)
            records = [
                record
                for event, event_headers in zip(events, headers, strict=True)
                for record in OutgoingRecord.of(event, self._version, partitions, event_headers)
            ]
            await self.publish_records(records)

    async def _partitions_of_matches(self, events: Sequence[Event]) -> int:
        """The number of partitions of the topic of matches, where an event depends on it."""
        # Version 2 divides a match by them, and MatchesErased goes to each.
        dependent = (MatchesErased,) if self._version == 1 else (FrameMatched, MatchesErased)
        if not any(isinstance(event, dependent) for event in events):
            return 1
        async with self._producer() as producer:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, producer.partitions_of, MATCHES.name)

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
            sent = await loop.run_in_executor(self._threads, producer.send, records)
            await uncancelled(sent)

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[Producer]:
        """The connected producer; it is discarded after an error, and at the end of our patience.

        A producer that gave up a record may have a gap in its sequence numbers, so the next publish
        starts a new one. Consumers tolerate records that are sent twice.
        """
        producer = await self._shared.connected()
        try:
            async with asyncio.timeout(self._patience_s):
                yield producer
        except TimeoutError as exc:
            self._shared.discard(producer)
            detail = f"{self._broker}: no answer in {self._patience_s:.0f} s"
            raise DeliveryUnconfirmed(detail) from exc
        except (BrokerUnavailable, DeliveryUnconfirmed, InvalidSettings):
            self._shared.discard(producer)
            raise


def _check_size(record: OutgoingRecord) -> None:
    most = largest_value(record.topic)
    if len(record.value) > most:
        raise too_large(f"{record.topic}: {len(record.value)} bytes, and {most} are allowed")
