"""librdkafka's in-memory broker, which speaks Kafka's protocol and needs no Java.

Its records do not survive a restart. Beyond 5 MiB (librdkafka's `rd_kafka_mock_partition`), a
partition silently drops its oldest records, so a publisher must wait for the consumers. A metadata
request for a topic creates it.

Neither Faust's client nor kafka-python has such a broker (docs/decisions/0001).
"""

from typing import Self

from confluent_kafka import Producer

from services.contracts.errors import MissingPart
from services.runtime.kafka.broker import BrokerAddress

_READY_S = 60.0


class MemoryBroker:
    """A running in-memory broker."""

    def __init__(self) -> None:
        # The broker is part of this client, which itself never produces anything.
        self._host: Producer | None = Producer(
            {"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0}
        )
        brokers = list(self._host.list_topics(timeout=_READY_S).brokers.values())
        if not brokers:
            raise MissingPart("the in-memory broker does not answer")
        self.address = BrokerAddress((f"{brokers[0].host}:{brokers[0].port}",), in_memory=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the broker and drop all records."""
        self._host = None
