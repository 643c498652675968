"""Check Kafka: topics, permissions, settings that risk data loss, and expired events."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from services.app.doctor.finding import Finding, Level, space
from services.app.subscriptions import bridge_subscriptions, own_subscriptions
from services.app.topic_access import grants_of, service_of_user, user_of
from services.contracts.errors import BrokerUnavailable, InvalidSettings
from services.contracts.topics import TOPICS
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.lag import LagReader, Partition
from services.runtime.kafka.topic_layout import DAY_MS, topic_differences
from services.runtime.settings import Settings

_PART = "kafka"
_MIN_RETENTION_MS = 3 * DAY_MS  # a service may be down for a long weekend without losing events
_GRANT = "grant what `gazeloop topics acls` prints"
Configuration = Mapping[str, Mapping[str, str]]


def look_at_kafka(settings: Settings) -> list[Finding]:
    """Check everything that the broker shows to this user.

    Raises
    ------
    BrokerUnavailable, InvalidSettings
        It does not answer, or refuses access.
    """
    broker = BrokerAddress.of(settings)
    if broker.in_memory:
        remedy = "use Apache Kafka to keep events across restarts"
        return [Finding(Level.WARNING, _PART, "the broker is in memory", remedy)]
    with closing(connect_admin(broker, settings)) as admin:
        try:
            described = admin.describe_topics([topic.name for topic in TOPICS])
            found = list(_findings(admin, described, broker, settings))
        except KafkaError as exc:
            raise translate(exc, broker) from exc
    seen = {item["name"] for item in described if not item["error_code"]}
    return [*found, *_expired(broker, settings, seen), *_expired_of_bridge(settings)]


def _findings(
    admin: KafkaAdminClient,
    described: Sequence[Mapping[str, Any]],
    broker: BrokerAddress,
    settings: Settings,
) -> Iterator[Finding]:
    nodes = len(admin.describe_cluster()["brokers"])
    yield Finding(Level.OK, _PART, f"{broker} answers, {nodes} brokers")
    visible = [item for item in described if not item["error_code"]]
    existing = [topic for topic in TOPICS if topic.name in {item["name"] for item in visible}]
    yield from _absent(described, settings)
    for difference in topic_differences(admin, settings, existing):
        yield Finding(Level.WARNING, _PART, str(difference), difference.remedy)
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in existing]
    configured = admin.describe_configs(resources, config_filter="all")["topic"]
    yield from _forbidden(visible, settings)
    yield from _hidden(configured)
    for item in visible:
        yield from _unwritable(item, configured[item["name"]])
        yield from _risks(item, configured[item["name"]], nodes)
    yield from _space(admin)


def _needed_operations(settings: Settings) -> Mapping[str, Sequence[str]] | None:
    """The operations per topic that this user's service needs; None for other users."""
    service = service_of_user(settings)
    if service is None or user_of(service) != settings.kafka_user:
        return None
    return {
        grant.name: grant.operations for grant in grants_of(service) if grant.resource == "topic"
    }


def _absent(described: Sequence[Mapping[str, Any]], settings: Settings) -> Iterator[Finding]:
    """Topics that are missing or invisible to this user, except those that it does not use."""
    needed = _needed_operations(settings)
    missing = [
        item["name"]
        for item in described
        if item["error_code"] and (needed is None or item["name"] in needed)
    ]
    if missing:
        problem = f"missing, or this user may not see them: {', '.join(sorted(missing))}"
        yield Finding(Level.ERROR, _PART, problem, f"`gazeloop topics create`, or {_GRANT}")


def _forbidden(described: Sequence[Mapping[str, Any]], settings: Settings) -> Iterator[Finding]:
    """Operations that this user's service needs and may not perform."""
    needed = _needed_operations(settings) or {}
    for item in described:
        may = item["authorized_operations"] or ()
        lacking = [name for name in needed.get(item["name"], ()) if name.upper() not in may]
        if lacking:
            problem = f"{settings.kafka_user} may not {' or '.join(lacking)} on {item['name']}"
            yield Finding(Level.ERROR, _PART, problem, _GRANT)


def _hidden(configured: Mapping[str, Configuration]) -> Iterator[Finding]:
    hidden = sorted(name for name, values in configured.items() if not values)
    if hidden:
        problem = f"this user may not see how topics are configured: {', '.join(hidden)}"
        remedy = "check as the cluster's owner, or grant this user DescribeConfigs on them"
        yield Finding(Level.WARNING, _PART, problem, remedy)


def _unwritable(topic: Mapping[str, Any], values: Configuration) -> Iterator[Finding]:
    """Partitions that cannot be written to at present."""
    name, partitions = topic["name"], topic["partitions"]
    leaderless = [
        partition["partition_index"] for partition in partitions if partition["leader_id"] < 0
    ]
    if leaderless:
        problem = f"{name} has partitions without a leader: {leaderless}"
        yield Finding(Level.ERROR, _PART, problem, "start the brokers that have their replicas")
    if not values:
        return
    in_sync = int(values["min.insync.replicas"]["value"])
    fewest = min(len(partition["isr_nodes"]) for partition in partitions)
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    if replicas < in_sync:
        problem = f"{name} has {replicas} replicas and min.insync.replicas={in_sync}: writes fail"
        remedy = "add replicas with `kafka-reassign-partitions.sh`, or lower min.insync.replicas"
        yield Finding(Level.ERROR, _PART, problem, remedy)
    elif fewest < in_sync:
        problem = f"{name} has {fewest} replicas in sync; writes need {in_sync}"
        yield Finding(Level.ERROR, _PART, problem, "start the brokers that are down")
    elif fewest < replicas:
        problem = f"{name} has {fewest} of {replicas} replicas in sync"
        yield Finding(Level.WARNING, _PART, problem, "start the brokers that are down")


def _risks(topic: Mapping[str, Any], values: Configuration, nodes: int) -> Iterator[Finding]:
    """Settings with which a broker failure, or a service that is down for days, loses events."""
    name = topic["name"]
    replicas = min(len(item["replica_nodes"]) for item in topic["partitions"])
    if nodes > 1 and replicas == 1:
        problem = f"{name} has one replica: it is lost if that broker's disk is"
        remedy = (
            "add replicas with `kafka-reassign-partitions.sh`: three, if there are three brokers"
        )
        yield Finding(Level.WARNING, _PART, problem, remedy)
    if not values:
        return
    if nodes > 1 and int(values["min.insync.replicas"]["value"]) < 2:  # noqa: PLR2004  # one copy
        remedy = "`kafka-configs.sh --alter --add-config min.insync.replicas=2`"
        yield Finding(Level.WARNING, _PART, f"{name} has min.insync.replicas=1", remedy)
    if "compact" in values["cleanup.policy"]["value"]:
        return
    kept_ms = int(values["retention.ms"]["value"])
    if 0 <= kept_ms < _MIN_RETENTION_MS:
        problem = f"{name} keeps events for {kept_ms / DAY_MS:.1f} days"
        remedy = "a service that is down for longer loses events: raise retention.ms"
        yield Finding(Level.WARNING, _PART, problem, remedy)
    if int(values["retention.bytes"]["value"]) >= 0:
        problem = f"{name} has retention.bytes={values['retention.bytes']['value']}"
        remedy = "events may expire before retention.ms: set retention.bytes to -1"
        yield Finding(Level.WARNING, _PART, problem, remedy)


def _space(admin: KafkaAdminClient) -> Iterator[Finding]:
    """The free space of the brokers' disks, where they report it to this user."""
    try:
        brokers = admin.describe_log_dirs()
    except KafkaError:
        return
    for broker in brokers:
        for folder in broker["log_dirs"]:
            total = folder.get("total_bytes", -1)
            if not folder["error_code"] and total > 0:
                where = f"broker {broker['broker']}, {folder['log_dir']},"
                remedy = "enlarge its volume, or lower retention.ms of gaze.frames"
                yield from space(_PART, where, folder["usable_bytes"] / total, remedy)


def _expired(broker: BrokerAddress, settings: Settings, seen: Collection[str]) -> Iterator[Finding]:
    """Events that were deleted before a service read them, in the topics that this user sees."""
    with LagReader(broker, settings) as reader:
        for group, topics in own_subscriptions(settings).items():
            try:
                lost = reader.expired({group: [name for name in topics if name in seen]})[group]
            except InvalidSettings:
                continue  # this user may not see another service's group
            yield from _lost(group, lost)


def _expired_of_bridge(settings: Settings) -> Iterator[Finding]:
    """Records of a detector's topic that were deleted before the bridge read them."""
    subscriptions = bridge_subscriptions(settings)
    if not subscriptions:
        return
    try:
        with LagReader(BrokerAddress.of_bridge(settings), settings) as reader:
            for group, lost in reader.expired(subscriptions).items():
                yield from _lost(group, lost)
    except (BrokerUnavailable, InvalidSettings) as exc:
        problem = f"what the bridge has read of {settings.bridge_topic} is not known: {exc}"
        remedy = "see docs/connect-a-detector.md for the topic and its access"
        yield Finding(Level.WARNING, _PART, problem, remedy)


def _lost(group: str, expired: Mapping[Partition, int]) -> Iterator[Finding]:
    for partition, count in sorted(expired.items()):
        problem = f"{count} events of {partition.topic} were deleted before {group} read them"
        remedy = "raise retention.ms; send again what was sent by `gazeloop ingest` or HTTP"
        yield Finding(Level.ERROR, _PART, f"{problem} (partition {partition.number})", remedy)
