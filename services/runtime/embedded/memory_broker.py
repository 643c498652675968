"""librdkafka's in-memory broker: Kafka's protocol from pip alone, for as long as we run.

Nothing survives a restart, and beyond 5 MiB a partition drops its oldest records without a word: a
publisher must wait for the consumers. Topics come into being when they are asked about.
"""

from typing import Self

from confluent_kafka import Producer

from services.contracts.errors import MissingPart
from services.runtime.kafka.broker import BrokerAddress

PARTITION_BYTES = 5 * 1024 * 1024
"""What a partition holds before it forgets (librdkafka's `rd_kafka_mock_partition`)."""

_READY_S = 10.0


class MemoryBroker:
    """One running in-memory broker."""

    def __init__(self) -> None:
        # The broker lives inside this client, which never produces anything itself.
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
        """Forget everything."""
        self._host = None
