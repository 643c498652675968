"""librdkafka's producer, for streams: a batch of 128 events costs it 10 µs an event, not 80.

Measured beside kafka-python by `python -m benchmarks.producing`.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event as Flag
from threading import Thread

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from services.contracts.errors import (
    BrokerUnavailable,
    DeliveryUnconfirmed,
    GazeloopError,
    InvalidSettings,
)
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress, not_granted, not_let_in
from services.runtime.kafka.broker_login import check_login
from services.runtime.kafka.delivery import Delivery, OutgoingRecord
from services.runtime.kafka.limits import MAX_REQUEST_BYTES, too_large
from services.runtime.settings import Settings

_LINGER_MS = 2
_POLL_S = 0.5
_CLOSE_S = 2.0
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_REFUSED_LOGIN = {
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._AUTHENTICATION,  # noqa: SLF001  # librdkafka's own codes have such names
}


class LibrdkafkaProducer:
    """Publishes through librdkafka; a thread takes its acknowledgements. See `Producer`."""

    def __init__(self, client: Client, broker: BrokerAddress, settings: Settings) -> None:
        self._client = client
        self._broker = broker
        self._timeout_s = settings.delivery_timeout_s
        self._max_age_s = settings.metadata_max_age_s
        self._partitions: dict[str, tuple[int, float]] = {}
        self._clock = SystemClock()
        self._ended = Flag()
        Thread(target=self._poll, name="producer-poll", daemon=True).start()

    def send(self, records: Sequence[OutgoingRecord]) -> "Future[None]":
        """Queue all; blocks where a topic's number of partitions is not known, or is old."""
        delivery = Delivery(len(records))

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                delivery.acknowledge()
            else:
                delivery.fail(self._translated(error))

        try:
            for record in records:
                partitions = self.partitions_of(record.topic)
                self._client.produce(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition_of(partitions),
                    on_delivery=delivered,
                    headers=list(record.headers),
                )
        except BufferError as exc:
            delivery.fail(DeliveryUnconfirmed(f"{self._broker}: {exc}"))
        except KafkaException as exc:
            delivery.fail(self._translated(exc.args[0]))
        except GazeloopError as exc:
            delivery.fail(exc)
        return delivery.done

    def partitions_of(self, topic: str) -> int:
        """Number of the topic's partitions; blocks where it is not known, or is old."""
        number, asked_at = self._partitions.get(topic, (0, 0.0))
        now = self._clock.monotonic()
        if not number or now > asked_at + self._max_age_s:
            number = self._described_partitions(topic)
            self._partitions[topic] = number, now
        return number

    def _described_partitions(self, topic: str) -> int:
        try:
            described = self._client.list_topics(topic, self._timeout_s).topics[topic]
        except KafkaException as exc:
            raise self._translated(exc.args[0]) from exc
        if described.error is not None:
            raise self._translated(described.error)
        return len(described.partitions)

    def close(self) -> None:
        """Close the connection."""
        self._client.flush(_CLOSE_S)
        self.abandon()

    def abandon(self) -> None:
        """Fail what is queued; librdkafka disconnects once nothing refers to it."""
        self._client.purge()
        self._ended.set()

    def connect(self) -> None:
        """Return once the broker has answered."""
        try:
            self._client.list_topics(timeout=self._timeout_s)
        except KafkaException as exc:
            self.abandon()
            error = self._translated(exc.args[0])
            if isinstance(error, DeliveryUnconfirmed):
                raise BrokerUnavailable(str(error)) from exc
            raise error from exc

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._client.poll(_POLL_S)
        self._client.poll(0)  # the failures of what was purged

    def _translated(self, error: KafkaError) -> GazeloopError:
        message = f"{self._broker}: {error.str()}"
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return too_large(message)
        if error.code() in _FORBIDDEN:
            return InvalidSettings(not_granted(self._broker, message))
        if error.code() in _REFUSED_LOGIN:
            return InvalidSettings(not_let_in(self._broker, message))
        return DeliveryUnconfirmed(message)


def connect_librdkafka(broker: BrokerAddress, settings: Settings) -> LibrdkafkaProducer:
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
    metadata_age_ms = int(settings.metadata_max_age_s * 1000)
    client = Client(
        {
            **broker.librdkafka_options,
            "enable.idempotence": True,  # which implies acks=all
            "message.max.bytes": MAX_REQUEST_BYTES,
            "linger.ms": _LINGER_MS,
            "delivery.timeout.ms": timeout_ms,
            "request.timeout.ms": timeout_ms // 2,
            "metadata.max.age.ms": 3 * metadata_age_ms,
            "topic.metadata.refresh.interval.ms": metadata_age_ms,
            "reconnect.backoff.max.ms": 1000,
            "allow.auto.create.topics": broker.in_memory,
        },
        logger=logging.getLogger(__name__),
    )
    producer = LibrdkafkaProducer(client, broker, settings)
    producer.connect()
    return producer
