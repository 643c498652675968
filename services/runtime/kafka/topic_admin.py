"""Creates the topics, and alters existing ones where they differ from the settings."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from services.contracts.errors import BrokerUnavailable
from services.contracts.topics import TOPICS, Topic
from services.runtime.kafka.admin_connection import AdminConnection, closed_on_error, connect_admin
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.topic_layout import (
    PARTITIONS,
    Difference,
    configuration_of,
    topic_differences,
)
from services.runtime.settings import Settings


@dataclass(frozen=True)
class TopicReport:
    """What `create_topics` did.

    Attributes
    ----------
    created : names of the topics that were missing
    differences : of the topics that existed
    """

    created: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Alteration:
    """What `alter_topics` did.

    Attributes
    ----------
    altered : differences that there were
    left : differences that it cannot remove
    """

    altered: tuple[Difference, ...]
    left: tuple[Difference, ...]


def create_topics(
    broker: BrokerAddress, settings: Settings, topics: Sequence[Topic] = TOPICS
) -> TopicReport:
    """Create missing topics; never change existing ones.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the user.
    """
    if broker.in_memory:
        return _touch(broker, topics)
    with _admin_client(broker, settings) as admin:
        created = _create(admin, settings, topics)
        admin.wait_for_topics([topic.name for topic in topics])
        existing = [topic for topic in topics if topic.name not in created]
        return TopicReport(tuple(created), tuple(topic_differences(admin, settings, existing)))


def alter_topics(
    broker: BrokerAddress, settings: Settings, topics: Sequence[Topic] = TOPICS
) -> Alteration:
    """Give existing topics the configuration and the additional partitions that they are to have.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer, or a topic is missing.
    InvalidSettings
        The broker refuses the user.
    """
    if broker.in_memory:
        return Alteration((), ())
    with _admin_client(broker, settings) as admin:
        differences = topic_differences(admin, settings, topics)
        altered = tuple(difference for difference in differences if difference.alterable)
        _alter(admin, altered)
    return Alteration(altered, tuple(item for item in differences if not item.alterable))


def broker_identity(broker: BrokerAddress, settings: Settings) -> str:
    """Kafka's cluster id; for the in-memory broker, an id that changes with every start.

    Acknowledgements by another broker say nothing about this one.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the user.
    """
    if broker.in_memory:
        return f"{broker}/{os.getpid()}"
    with _admin_client(broker, settings) as admin:
        return str(admin.describe_cluster()["cluster_id"])


class BrokerProbe:
    """Checks whether the broker accepts writes.

    Connects at the first call, and again after an error. One thread asks; any thread may close it.
    """

    def __init__(self, broker: BrokerAddress, settings: Settings) -> None:
        self._broker = broker
        self._connection = AdminConnection(broker, settings)

    def ask(self, topic: str) -> None:
        """Return if the topic can be written.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer, or a partition of the topic has no leader.
        InvalidSettings
            The broker refuses the user.
        """
        admin = self._connection.client()
        try:
            (described,) = admin.describe_topics([topic])
            if described["error_code"]:
                raise for_code(described["error_code"])(topic)
        except KafkaError as exc:
            self._connection.reset()
            raise translate(exc, self._broker) from exc
        if any(item["leader_id"] < 0 for item in described["partitions"]):
            raise BrokerUnavailable(f"{self._broker}: {topic} has partitions without a leader")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def _admin_client(broker: BrokerAddress, settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client for one request; its Kafka errors are translated."""
    with closing(connect_admin(broker, settings)) as admin:
        try:
            yield admin
        except KafkaError as exc:
            raise translate(exc, broker) from exc


def _touch(broker: BrokerAddress, topics: Sequence[Topic]) -> TopicReport:
    # The in-memory broker has no CreateTopics; it creates a topic on a metadata request.
    with closed_on_error() as network:
        producer = KafkaProducer(
            **broker.client_options, kafka_client=network, metrics_enabled=False
        )
    with closing(producer):
        for topic in topics:
            producer.partitions_for(topic.name)
    return TopicReport((), ())


def _create(admin: KafkaAdminClient, settings: Settings, topics: Sequence[Topic]) -> list[str]:
    wanted = {
        topic.name: {
            "num_partitions": settings.partitions_of(topic.name),
            "replication_factor": settings.topic_replication,
            "configs": configuration_of(topic, settings),
        }
        for topic in topics
    }
    answer = admin.create_topics(wanted, raise_errors=False)
    created = []
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if topic["error_code"] == 0:
            created.append(topic["name"])
        elif error is not TopicAlreadyExistsError:
            raise error(f"{topic['name']}: {topic['error_message']}")
    return created


def _alter(admin: KafkaAdminClient, differences: Sequence[Difference]) -> None:
    grown = {item.topic: int(item.wanted) for item in differences if item.what == PARTITIONS}
    configured: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for item in differences:
        if item.what != PARTITIONS:
            configured[item.topic][item.what] = item.wanted
    if grown:
        admin.create_partitions(grown)
    if configured:
        topic = ConfigResourceType.TOPIC
        admin.alter_configs([ConfigResource(topic, *wanted) for wanted in configured.items()])
