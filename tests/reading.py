from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from services.contracts.codec import decode
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import Invalid
from services.contracts.events import Event
from services.contracts.topics import DEAD_LETTERS
from services.runtime.kafka.broker import BrokerAddress


def events_on(broker: BrokerAddress, topic: str) -> list[tuple[int, Event]]:
    """All readable events of a topic, each with its partition."""
    found = []
    for record in records_on(broker, topic):
        try:
            found.append((record.partition, decode(topic, record.value)))
        except Invalid:
            continue
    return found


def dead_letters_on(broker: BrokerAddress) -> list[DeadLettered]:
    """Every distinct failure on the topic of dead letters."""
    events = [event for _, event in events_on(broker, DEAD_LETTERS.name)]
    return list({e.event_id: e for e in events if isinstance(e, DeadLettered)}.values())


def values_on(broker: BrokerAddress, topic: str) -> list[bytes]:
    """All records of a topic, byte for byte."""
    return [record.value for record in records_on(broker, topic)]


def keys_on(broker: BrokerAddress, topic: str) -> dict[tuple[int, int], str]:
    """The keys of all records of a topic, by partition and offset."""
    return {
        (record.partition, record.offset): record.key.decode()
        for record in records_on(broker, topic)
    }


def count_on(broker: BrokerAddress, topic: str) -> int:
    """How many records have been written to a topic, without reading them."""
    consumer = KafkaConsumer(**broker.client_options, group_id=None, enable_auto_commit=False)
    with closing(consumer):
        numbers = consumer.partitions_for_topic(topic) or ()
        partitions = [TopicPartition(topic, number) for number in numbers]
        return sum(consumer.end_offsets(partitions).values())


def records_on(broker: BrokerAddress, topic: str) -> list[Any]:
    """All records of a topic, as kafka-python gives them."""
    consumer = KafkaConsumer(
        **broker.client_options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1 << 24,
    )
    found: list[Any] = []
    with closing(consumer):
        numbers = consumer.partitions_for_topic(topic) or ()
        partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                found += records
    return found
