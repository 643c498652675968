"""What each service may do on the broker, and no more: derived from what it reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.annotation.webhooks.receivers import service_of
from services.contracts.flow import BESIDE, CONSUMERS, READS, WEBHOOKS, WRITES, group_of
from services.contracts.topics import DEAD_LETTERS, TOPICS, Topic
from services.runtime.settings import Settings

SCALER = "keda"
"""The user of whatever adds replicas by lag: it may look, and touch nothing."""


OPERATOR = "operator"
"""The user of the people who run it: `status`, `doctor`, and dead letters, read and replayed."""


@dataclass(frozen=True)
class Grant:
    """Operations on one topic or consumer group, or on all whose names begin so (`prefix`)."""

    resource: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]
    pattern: Literal["literal", "prefix"] = "literal"


def user_of(service: str) -> str:
    """The broker's user that a service is."""
    return f"gazeloop-{service.replace('_', '-')}"


def service_of_user(settings: Settings) -> str | None:
    """The service whose user these settings name; nothing where it is an operator or nobody."""
    services = {user_of(service): service for service in WRITES}
    return services.get(settings.kafka_user) or services.get(settings.mongodb_user)


def grants_of(service: str) -> list[Grant]:
    """What a service needs: to read its inputs as its group, and to write its outputs."""
    if service == SCALER:
        topics = [Grant("topic", topic.name, ("Describe",)) for topic in TOPICS]
        return topics + [Grant("group", group_of(name), ("Describe",)) for name in CONSUMERS]
    if service == OPERATOR:
        # What a dead letter is replayed to is the topic that it came from.
        everything = ("Describe", "DescribeConfigs", "Read", "Write")
        topics = [Grant("topic", topic.name, everything) for topic in TOPICS]
        return [*topics, Grant("group", group_of(""), ("Describe",), "prefix")]
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
    if service in CONSUMERS or service in BESIDE:
        granted.append(Grant("group", group_of(service), ("Describe", "Read")))
    if service == WEBHOOKS:
        # A group for each receiver, and receivers come and go.
        granted.append(Grant("group", group_of(service_of("")), ("Describe", "Read"), "prefix"))
    return granted


def _read_by(service: str) -> Sequence[Topic]:
    # The review page shows dead letters.
    shown = (DEAD_LETTERS,) if service == "retriever" else ()
    return (*READS.get(service, ()), *shown)


def commands(service: str, bootstrap: str) -> list[str]:
    """The grants as commands of Kafka's own tool."""
    user = user_of(service)
    return [
        f"kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:{user}"
        + "".join(f" --operation {operation}" for operation in grant.operations)
        + f" --{grant.resource} {grant.name}"
        + (" --resource-pattern-type prefixed" if grant.pattern == "prefix" else "")
        for grant in grants_of(service)
    ]
