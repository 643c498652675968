"""Reads what a topic holds now, from its beginning or from given offsets, without a group."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.contracts.errors import BrokerUnavailable
from services.contracts.topics import Topic
from services.runtime.kafka.admin_connection import closed_on_error
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.limits import MAX_DEAD_LETTER_BYTES
from services.runtime.settings import Settings

_POLL_MS = 500


def values(
    broker: BrokerAddress, settings: Settings, topic: Topic, since: Mapping[int, int] | None = None
) -> Iterator[bytes]:
    """The values of all records that the topic holds at the call; blocks while it reads.

    Parameters
    ----------
    since : first offset by partition; other partitions are read from their beginning

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    try:
        yield from _values(broker, settings, topic, since or {})
    except KafkaError as exc:
        raise BrokerUnavailable(f"{broker}: {type(exc).__name__}: {exc}") from exc


def _values(
    broker: BrokerAddress, settings: Settings, topic: Topic, since: Mapping[int, int]
) -> Iterator[bytes]:
    with closing(_consumer(broker, settings)) as consumer:
        numbers = consumer.partitions_for_topic(topic.name) or ()
        partitions = [TopicPartition(topic.name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        for partition in partitions:
            if since.get(partition.partition, 0) > consumer.position(partition):
                consumer.seek(partition, since[partition.partition])
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            polled = consumer.poll(timeout_ms=_POLL_MS)
            yield from (record.value for records in polled.values() for record in records)


def _consumer(broker: BrokerAddress, settings: Settings) -> KafkaConsumer:
    with closed_on_error() as network:
        return KafkaConsumer(
            **broker.client_options,
            kafka_client=network,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
            bootstrap_timeout_ms=int(settings.delivery_timeout_s * 1000),
        )
