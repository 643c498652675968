"""kafka-python's clients leave no thread behind, whatever becomes of their connection."""

from collections.abc import Callable
from threading import enumerate as threads

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.contracts.errors import BrokerUnavailable
from services.contracts.topics import FRAMES
from services.runtime.embedded.memory_broker import MemoryBroker
from services.runtime.kafka import admin_connection
from services.runtime.kafka.admin_connection import AdminConnection, connect_admin
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import read_letters
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings
from tests.ports import free_ports
from tests.threads import is_of_kafka

IMPATIENT = Settings(delivery_timeout_s=0.2)


@pytest.fixture
def nobody() -> BrokerAddress:
    (port,) = free_ports(1)
    return BrokerAddress.parse(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "connect",
    [connect_admin, connect_kafka_python, create_topics, read_letters],
    ids=["admin", "producer", "topics", "dead letters"],
)
@pytest.mark.usefixtures("collected_sockets")
def test_a_client_that_cannot_connect_leaves_no_thread(
    connect: Callable[[BrokerAddress, Settings], object], nobody: BrokerAddress
) -> None:
    before = [*filter(is_of_kafka, threads())]

    with pytest.raises((BrokerUnavailable, KafkaError)):
        connect(nobody, IMPATIENT)

    assert [*filter(is_of_kafka, threads())] == before


def test_a_connection_that_is_closed_while_it_connects_leaves_no_thread(
    memory_broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [*filter(is_of_kafka, threads())]
    connection = AdminConnection(memory_broker, Settings())

    def close_meanwhile(broker: BrokerAddress, settings: Settings) -> KafkaAdminClient:
        connection.close()
        return connect_admin(broker, settings)

    monkeypatch.setattr(admin_connection, "connect_admin", close_meanwhile)
    with pytest.raises(BrokerUnavailable, match="closed"):
        connection.client()

    assert [*filter(is_of_kafka, threads())] == before


@pytest.mark.usefixtures("collected_sockets")
def test_a_broker_that_goes_while_a_topic_is_read_is_noticed() -> None:
    before = [*filter(is_of_kafka, threads())]
    settings = Settings(delivery_timeout_s=2)
    with MemoryBroker() as broker:
        create_topics(broker.address, Settings())
        client = Producer(broker.address.librdkafka_options)
        for number in range(50):
            client.produce(FRAMES.name, key="a", value=f"{number}")
            assert client.flush(30) == 0  # a batch each, of which the broker sends one at a time
        reading = values(broker.address, settings, FRAMES)
        assert next(reading) == b"0"
        del client

    with pytest.raises(BrokerUnavailable, match="to its end"):
        list(reading)

    assert [*filter(is_of_kafka, threads())] == before
