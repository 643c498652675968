"""A broker that somebody else has set up, wrong in as many ways as it can be at once."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import RetriableError
from kafka.structs import OffsetAndMetadata
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from services.app.doctor.examining import examine
from services.app.doctor.finding import Finding, Level
from services.contracts.flow import group_of
from services.contracts.topics import TOPICS
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from tests.integration.doctor.conftest import settings_for

CONFIGURED = {
    "gaze.frames": {"retention.ms": "3600000"},
    "gaze.embedded": {"min.insync.replicas": "2"},
    "gaze.matches": {"cleanup.policy": "compact"},
    "gaze.needles": {"retention.bytes": "1000000"},
}
WRONG = {
    "kafka: gaze.frames keeps events for 0.0 days": "raise retention.ms",
    "kafka: gaze.predictions has 2 partitions, not 3": "gazeloop topics alter",
    "kafka: gaze.needles has 3 partitions, not 2": "removes no partitions",
    "kafka: gaze.frames has retention.ms=3600000, not 604800000": "gazeloop topics alter",
    "kafka: gaze.frames has 1 replicas, not 3": "kafka-reassign-partitions.sh",
    "kafka: missing, or this user may not see them: gaze.ground-truth": "gazeloop topics create",
    "kafka: gaze.embedded has 1 replicas and min.insync.replicas=2": "add replicas",
    "kafka: gaze.matches has cleanup.policy=compact, not delete": "gazeloop topics alter",
    "kafka: gaze.needles has retention.bytes=1000000": "set retention.bytes to -1",
    "kafka: 3 events of gaze.predictions were deleted before gazeloop.embedder read": "send again",
}
ERRORS = {"missing", "writes fail", "were deleted"}


def set_up(admin: KafkaAdminClient, broker: BrokerAddress) -> None:
    admin.create_topics(
        {
            topic.name: {
                "num_partitions": 2 if topic.name == "gaze.predictions" else 3,
                "replication_factor": 1,
                "configs": {"cleanup.policy": topic.retention, **CONFIGURED.get(topic.name, {})},
            }
            for topic in TOPICS
            if topic.name != "gaze.ground-truth"
        }
    )
    predictions = TopicPartition("gaze.predictions", 0)
    with closing(KafkaProducer(**broker.client_options, metrics_enabled=False)) as producer:
        for _ in range(6):
            producer.send(predictions.topic, b"{}", partition=0)
        producer.flush()
    commit(admin, group_of("embedder"), predictions, 1)
    admin.delete_records({predictions: 4})


@retry(
    # A young broker has no coordinator yet, or another one.
    retry=retry_if_exception_type((RetriableError, AssertionError)),
    stop=stop_after_delay(240),
    wait=wait_fixed(0.1),
    reraise=True,
)
def commit(admin: KafkaAdminClient, group: str, partition: TopicPartition, offset: int) -> None:
    admin.alter_group_offsets(group, {partition: OffsetAndMetadata(offset, "", -1)})
    assert admin.list_group_offsets({group: [partition]})[group][partition].offset == offset


@pytest.fixture(scope="module")
def found(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Finding]]:
    folder = tmp_path_factory.mktemp("broken")
    with EmbeddedKafka(folder / "kafka") as kafka:
        broker = BrokerAddress.parse(kafka.bootstrap)
        with closing(connect_admin(broker, Settings())) as admin:
            set_up(admin, broker)
        settings = settings_for(
            broker,
            mongodb_url,
            folder / "data",
            topic_partitions=3,
            topic_partitions_of="gaze.needles=2",
            topic_replication=3,
        )
        yield asyncio.run(examine(settings, SystemClock(), model=False))


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found_with_its_remedy(found: list[Finding], what: str) -> None:
    (remedy,) = {
        finding.remedy for finding in found if f"{finding.part}: {finding.what}".startswith(what)
    } or {"not found"}
    assert WRONG[what] in remedy


def test_what_loses_events_is_an_error_and_what_may_lose_some_a_warning(
    found: list[Finding],
) -> None:
    of_kafka = [
        finding for finding in found if finding.part == "kafka" and finding.level is not Level.OK
    ]
    errors = {finding.what for finding in of_kafka if finding.level is Level.ERROR}
    assert len(errors) == len(ERRORS)
    assert all(any(sign in error for error in errors) for sign in ERRORS)
