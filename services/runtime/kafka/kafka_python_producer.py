"""kafka-python's producer, for what is not a stream: ingest, and operators' commands."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

import structlog
from kafka import KafkaProducer
from kafka.errors import (
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from services.contracts.errors import BrokerUnavailable, DeliveryUnconfirmed
from services.runtime.kafka.admin_connection import closed_on_error
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.broker_login import check_login
from services.runtime.kafka.delivery import Delivery, OutgoingRecord
from services.runtime.kafka.limits import MAX_REQUEST_BYTES, too_large
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_MISCONFIGURED = (InvalidTopicError, KafkaConfigurationError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_LINGER_MS = 2
_CLOSE_S = 2.0


class KafkaPythonProducer:
    """Publishes through kafka-python, whose own thread sends; see `Producer`."""

    def __init__(self, producer: KafkaProducer, broker: BrokerAddress) -> None:
        self._producer = producer
        self._broker = broker

    def send(self, records: Sequence[OutgoingRecord]) -> "Future[None]":
        """Queue all; blocks only on a topic's first use."""
        delivery = Delivery(len(records))

        def failed(exc: BaseException) -> None:
            delivery.fail(self._translated(exc))

        try:
            for record in records:
                self._send(record, delivery, failed)
        except KafkaError as exc:
            failed(exc)
        return delivery.done

    def _send(
        self, record: OutgoingRecord, delivery: Delivery, failed: Callable[[BaseException], None]
    ) -> None:
        partition = record.partition_of(self._partitions_of(record.topic))
        future = self._producer.send(
            record.topic, record.value, record.key, list(record.headers), partition=partition
        )
        future.add_callback(lambda _: delivery.acknowledge())
        future.add_errback(failed)

    def partitions_of(self, topic: str) -> int:
        """Number of the topic's partitions; blocks only on its first use."""
        try:
            return self._partitions_of(topic)
        except KafkaError as exc:
            raise self._translated(exc) from exc

    def _partitions_of(self, topic: str) -> int:
        return len(self._producer.partitions_for(topic))

    def close(self) -> None:
        """Close the connection."""
        try:
            self._producer.close(timeout=_CLOSE_S)
        except KafkaError:  # `close` flushes first, and raises if the broker is down
            self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, without flushing.

        `KafkaProducer.close` flushes first. If the broker is down, that raises `KafkaTimeoutError`
        before anything is closed, so that the sender thread and its records stay.
        """
        self._producer._sender.force_close()  # noqa: SLF001  # there is no public way
        try:
            with suppress(KafkaError):
                self._producer.close(timeout=_CLOSE_S)
        except Exception as exc:  # noqa: BLE001  # it is discarded; no caller waits for it
            log.warning("producer_not_closed", error=f"{type(exc).__name__}: {exc}")

    def _translated(self, exc: BaseException) -> BaseException:
        if isinstance(exc, _TOO_LARGE):
            return too_large(str(exc))
        if isinstance(exc, _MISCONFIGURED) or not isinstance(exc, KafkaError):
            return exc
        known = translate(exc, self._broker)
        if isinstance(known, BrokerUnavailable):
            return DeliveryUnconfirmed(f"{type(exc).__name__}: {exc}")
        return known


def connect_kafka_python(broker: BrokerAddress, settings: Settings) -> KafkaPythonProducer:
    """A producer that has reached the broker; blocks for `delivery_timeout_s` at most.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the login.
    """
    check_login(broker)
    timeout_ms = int(settings.delivery_timeout_s * 1000)
    try:
        with closed_on_error() as network:
            producer = KafkaProducer(
                **broker.client_options,
                kafka_client=network,
                acks="all",
                enable_idempotence=True,  # explicit, so that a conflicting option is an error
                max_request_size=MAX_REQUEST_BYTES,
                linger_ms=_LINGER_MS,
                delivery_timeout_ms=timeout_ms,
                request_timeout_ms=timeout_ms // 2,
                max_block_ms=timeout_ms,
                metadata_max_age_ms=int(settings.metadata_max_age_s * 1000),
                bootstrap_timeout_ms=timeout_ms,
                reconnect_backoff_max_ms=1000,
                allow_auto_create_topics=broker.in_memory,
                metrics_enabled=False,
            )
    except _MISCONFIGURED:
        raise
    except KafkaError as exc:
        raise translate(exc, broker) from exc
    return KafkaPythonProducer(producer, broker)
