"""How topics are to be by the settings, and where those of a cluster differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from services.contracts.topics import Topic
from services.runtime.kafka.limits import largest_value
from services.runtime.settings import Settings

_RECORD_OVERHEAD = 64 * 1024
DAY_MS = 86_400_000
PARTITIONS, REPLICAS = "partitions", "replicas"


@dataclass(frozen=True)
class Difference:
    """One way in which a topic differs from the settings.

    Attributes
    ----------
    what : `partitions`, `replicas`, or the name of a configuration
    actual, wanted : its value in the cluster, and by the settings
    """

    topic: str
    what: str
    actual: str
    wanted: str

    def __str__(self) -> str:
        if self.what in {PARTITIONS, REPLICAS}:
            return f"{self.topic} has {self.actual} {self.what}, not {self.wanted}"
        return f"{self.topic} has {self.what}={self.actual}, not {self.wanted}"

    @property
    def alterable(self) -> bool:
        """Whether `gazeloop topics alter` can remove it."""
        if self.what == PARTITIONS:
            return int(self.wanted) > int(self.actual)
        return self.what != REPLICAS

    @property
    def remedy(self) -> str:
        """What an operator can do about it."""
        if self.alterable:
            return "`gazeloop topics alter`, or the setting that says otherwise"
        if self.what == PARTITIONS:
            return "Kafka removes no partitions: correct the setting"
        return "`kafka-reassign-partitions.sh`, or the setting that says otherwise"


def retention_ms(topic: str, settings: Settings) -> int:
    """For how long a topic is to keep its records, if it deletes any."""
    return round(settings.retention_days_of(topic) * DAY_MS)


def configuration_of(topic: Topic, settings: Settings) -> dict[str, str]:
    """The configuration that a topic is to have."""
    wanted = {
        "cleanup.policy": topic.retention,
        "max.message.bytes": str(largest_value(topic.name) + _RECORD_OVERHEAD),
    }
    if topic.retention == "delete":
        wanted["retention.ms"] = str(retention_ms(topic.name, settings))
    return wanted


def topic_differences(
    admin: KafkaAdminClient, settings: Settings, topics: Sequence[Topic]
) -> list[Difference]:
    """Where existing topics differ from the settings.

    Configurations that the broker hides from this user are skipped.
    """
    if not topics:
        return []
    found: list[Difference] = []
    for described in admin.describe_topics([topic.name for topic in topics]):
        found += _layout_differences(described, settings)
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    configured = admin.describe_configs(resources, config_filter="all")["topic"]
    for topic in topics:
        found += _configuration_differences(topic, settings, configured[topic.name])
    return found


def _layout_differences(described: Mapping[str, Any], settings: Settings) -> Iterator[Difference]:
    name, partitions = described["name"], described["partitions"]
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    for aspect, actual, wanted in (
        (PARTITIONS, len(partitions), settings.partitions_of(name)),
        (REPLICAS, replicas, settings.topic_replication),
    ):
        if actual != wanted:
            yield Difference(name, aspect, str(actual), str(wanted))


def _configuration_differences(
    topic: Topic, settings: Settings, described: Mapping[str, Mapping[str, str]]
) -> Iterator[Difference]:
    for name, wanted in configuration_of(topic, settings).items():
        if name in described and described[name]["value"] != wanted:
            yield Difference(topic.name, name, described[name]["value"], wanted)
