"""Which records topics hold now, and for how long the broker keeps them."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from services.contracts.topics import TOPICS
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.topic_layout import retention_ms
from services.runtime.settings import Settings


@dataclass(frozen=True)
class KeptRecords:
    """A topic's records.

    Attributes
    ----------
    ends : for each partition that has records, the offset that the next record gets
    retention_ms : as the broker has it, or by the settings if it hides that; -1: for good
    """

    topic: str
    ends: Mapping[int, int]
    retention_ms: int


def kept_records(broker: BrokerAddress, settings: Settings) -> list[KeptRecords]:
    """The topics that hold records; none of a broker in memory. Blocks.

    Raises
    ------
    BrokerUnavailable, InvalidSettings
        The broker does not answer, or refuses the user.
    """
    if broker.in_memory:
        return []
    with closing(connect_admin(broker, settings)) as admin:
        try:
            return list(_kept(admin, settings))
        except KafkaError as exc:
            raise translate(exc, broker) from exc


def _kept(admin: KafkaAdminClient, settings: Settings) -> Iterator[KeptRecords]:
    described = admin.describe_topics([topic.name for topic in TOPICS])
    seen = {item["name"]: item["partitions"] for item in described if not item["error_code"]}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in seen]
    configured = admin.describe_configs(resources, config_filter="all")["topic"]
    partitions = [
        TopicPartition(name, partition["partition_index"])
        for name, found in seen.items()
        for partition in found
    ]
    firsts, ends = (
        admin.list_partition_offsets(dict.fromkeys(partitions, spec))
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    for name in seen:
        held = {
            at.partition: end.offset
            for at, end in ends.items()
            if at.topic == name and end.offset > firsts[at].offset
        }
        kept = configured[name].get("retention.ms")
        kept_ms = retention_ms(name, settings) if kept is None else int(kept["value"])
        if held:
            yield KeptRecords(name, held, kept_ms)
