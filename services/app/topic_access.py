"""Each service's minimal broker permissions, derived from the topics it reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.annotation.webhooks.receivers import service_of
from services.contracts.flow import (
    BRIDGE,
    CONSUMERS,
    OPTIONAL_SERVICES,
    READS,
    REVIEW,
    WEBHOOKS,
    WRITES,
    group_of,
)
from services.contracts.topics import DEAD_LETTERS, TOPICS, Topic
from services.runtime.settings import Settings

SCALER = "keda"
"""The user of an autoscaler that reads lag; it may only read."""


OPERATOR = "operator"
"""The operators' user: for `status`, `doctor`, `restore`, and dead letters."""


@dataclass(frozen=True)
class Grant:
    """Allowed operations on a topic or consumer group, or (`prefix`) on all with that prefix."""

    resource: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]
    pattern: Literal["literal", "prefix"] = "literal"


def user_of(service: str) -> str:
    """The broker user of a service."""
    return f"gazeloop-{service.replace('_', '-')}"


def service_of_user(settings: Settings) -> str | None:
    """The service whose user these settings name; None for an operator or without a user."""
    services = {user_of(service): service for service in WRITES}
    return services.get(settings.kafka_user) or services.get(settings.mongodb_user)


def grants_of(service: str, bridge_topic: str = "") -> list[Grant]:
    """A service's grants: read its inputs in its consumer group, and write its outputs.

    Parameters
    ----------
    bridge_topic : the topic that the bridge reads; empty where it is not known
    """
    if service == SCALER:
        topics = [Grant("topic", topic.name, ("Describe",)) for topic in TOPICS]
        return topics + [Grant("group", group_of(name), ("Describe",)) for name in CONSUMERS]
    if service == OPERATOR:
        # Replaying a dead letter writes to its original topic.
        everything = ("Describe", "DescribeConfigs", "Read", "Write")
        topics = [Grant("topic", topic.name, everything) for topic in TOPICS]
        # A restore sets offsets, which Kafka allows to those who may read in the group.
        groups = Grant("group", group_of(""), ("Describe", "Read"), "prefix")
        return [*topics, groups, *_of_bridge(bridge_topic)]
    reads = {topic.name for topic in _read_by(service)}
    writes = {topic.name for topic in WRITES[service]}
    granted = [
        Grant(
            "topic",
            name,
            (
                "Describe",
                *(["Read"] if name in reads else []),
                *(["Write"] if name in writes else []),
            ),
        )
        for name in sorted(reads | writes)
    ]
    if service in CONSUMERS or service in OPTIONAL_SERVICES:
        granted.append(Grant("group", group_of(service), ("Describe", "Read")))
    if service == BRIDGE:
        granted += _of_bridge(bridge_topic)
    if service == WEBHOOKS:
        # A prefix, because each receiver has its own group, and receivers change.
        granted.append(Grant("group", group_of(service_of("")), ("Describe", "Read"), "prefix"))
    return granted


def _of_bridge(topic: str) -> list[Grant]:
    return [Grant("topic", topic, ("Describe", "Read"))] if topic else []


def _read_by(service: str) -> Sequence[Topic]:
    # The review page shows dead letters, and ingest looks for those of erased frames.
    shown = (DEAD_LETTERS,) if service in {REVIEW, "ingest"} else ()
    return (*READS.get(service, ()), *shown)


def source_commands(settings: Settings) -> list[str]:
    """What the bridge's user needs on the cluster that it reads from, as `kafka-acls` commands."""
    user = settings.bridge_kafka_user or user_of(BRIDGE)
    grants = (
        Grant("topic", settings.bridge_topic, ("Describe", "Read")),
        Grant("group", group_of(BRIDGE), ("Describe", "Read")),
    )
    return [_command(grant, settings.bridge_kafka, user) for grant in grants]


def commands(service: str, bootstrap: str, bridge_topic: str = "") -> list[str]:
    """The grants as `kafka-acls` commands."""
    user = user_of(service)
    return [_command(grant, bootstrap, user) for grant in grants_of(service, bridge_topic)]


def _command(grant: Grant, bootstrap: str, user: str) -> str:
    return (
        f"kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:{user}"
        + "".join(f" --operation {operation}" for operation in grant.operations)
        + f" --{grant.resource} {grant.name}"
        + (" --resource-pattern-type prefixed" if grant.pattern == "prefix" else "")
    )
