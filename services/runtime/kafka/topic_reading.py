"""Reads what a topic holds now, from its beginning or from given offsets, without a group."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from time import monotonic

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.contracts.errors import BrokerUnavailable, InvalidSettings
from services.contracts.topics import Topic
from services.runtime.kafka.admin_connection import closed_on_error
from services.runtime.kafka.broker import BrokerAddress, not_visible, translate
from services.runtime.kafka.broker_login import check_login
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
        The broker does not answer, or has sent nothing for `delivery_timeout_s`.
    InvalidSettings
        The broker refuses the user, or has no such topic.
    """
    try:
        yield from _values(broker, settings, topic, since or {})
    except KafkaError as exc:
        raise translate(exc, broker) from exc


def _values(
    broker: BrokerAddress, settings: Settings, topic: Topic, since: Mapping[int, int]
) -> Iterator[bytes]:
    with closing(_consumer(broker, settings)) as consumer:
        numbers = consumer.partitions_for_topic(topic.name)
        # Not taken for an empty topic: an erasure or a restore would pass it over.
        if not numbers:
            raise InvalidSettings(not_visible(broker, topic.name))
        partitions = [TopicPartition(topic.name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        firsts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for partition, first in firsts.items():
            consumer.seek(partition, max(first, since.get(partition.partition, 0)))
        left, read_at = _left(consumer, ends), monotonic()
        while left:
            polled = consumer.poll(timeout_ms=_POLL_MS)
            yield from (record.value for records in polled.values() for record in records)
            before, left = left, _left(consumer, ends)
            # A poll of a broker that is away returns nothing and raises nothing.
            if left != before:
                read_at = monotonic()
            elif monotonic() - read_at > settings.delivery_timeout_s:
                raise BrokerUnavailable(f"{broker}: {topic.name} cannot be read to its end")


def _left(consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]) -> int:
    """How many offsets are still to be read."""
    # A position is None until the broker has named the first record, where the next one expired.
    positions = {at: consumer.position(at, timeout_ms=_POLL_MS) or 0 for at in ends}
    return sum(max(0, end - positions[at]) for at, end in ends.items())


def _consumer(broker: BrokerAddress, settings: Settings) -> KafkaConsumer:
    check_login(broker)
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
