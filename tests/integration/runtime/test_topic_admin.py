"""Topics on a broker that has none yet, and on one that somebody else set up."""

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from services.contracts.matches import FrameMatched
from services.contracts.topics import MATCHES, TOPICS, Topic
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.kept_records import KeptRecords, kept_records
from services.runtime.kafka.topic_admin import alter_topics, create_topics
from services.runtime.settings import Settings
from tests.deadline import until

SETTINGS = Settings(topic_partitions=3)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    with EmbeddedKafka(tmp_path_factory.mktemp("bare")) as kafka:
        yield BrokerAddress.parse(kafka.bootstrap)


def test_topics_are_created_once_and_differences_are_told(bare: BrokerAddress) -> None:
    first = create_topics(bare, SETTINGS)
    assert set(first.created) == {topic.name for topic in TOPICS}

    again = create_topics(bare, SETTINGS)
    assert (again.created, again.differences) == ((), ())

    other = create_topics(bare, Settings(topic_partitions=5), [MATCHES])
    assert other.created == ()
    assert list(map(str, other.differences)) == ["gaze.matches has 3 partitions, not 5"]


async def test_partitions_and_retention_of_single_topics_follow_their_settings(
    bare: BrokerAddress,
) -> None:
    settings = SETTINGS.model_copy(
        update={
            "topic_partitions_of": "gaze.matches=6",
            "topic_retention_days_of": "gaze.dead-letters=90, gaze.frames=0.5",
        }
    )
    create_topics(bare, SETTINGS)

    altered = alter_topics(bare, settings)

    assert sorted(map(str, altered.altered)) == [
        "gaze.dead-letters has retention.ms=604800000, not 7776000000",
        "gaze.frames has retention.ms=604800000, not 43200000",
        "gaze.matches has 3 partitions, not 6",
    ]
    assert altered.left == ()
    await until(lambda: create_topics(bare, settings).differences == ())
    back = alter_topics(bare, SETTINGS)
    assert len(back.altered) == 2
    assert [(str(item), item.remedy) for item in back.left] == [
        ("gaze.matches has 6 partitions, not 3", "Kafka removes no partitions: correct the setting")
    ]


async def test_a_topic_that_an_older_version_compacted_is_retained_by_time(
    bare: BrokerAddress,
) -> None:
    older = Topic("gaze.models-of-old", (FrameMatched,), retention="compact")
    create_topics(bare, SETTINGS, [older])
    now = Topic(older.name, older.events)

    assert [str(item) for item in alter_topics(bare, SETTINGS, [now]).altered] == [
        f"{older.name} has cleanup.policy=compact, not delete"
    ]
    await until(lambda: create_topics(bare, SETTINGS, [now]).differences == ())


def test_in_memory_topics_are_there_once_asked_about(memory_broker: BrokerAddress) -> None:
    assert create_topics(memory_broker, SETTINGS).differences == ()


async def test_the_records_of_topics_are_known_by_offset_and_by_how_long_they_are_kept(
    bare: BrokerAddress,
) -> None:
    settings = SETTINGS.model_copy(update={"topic_retention_days_of": "gaze.needles=2"})
    create_topics(bare, SETTINGS)
    alter_topics(bare, settings)
    with KafkaProducer(**bare.client_options) as producer:
        for _ in range(3):
            producer.send("gaze.needles", b"a needle", partition=1).get()

    kept = [KeptRecords("gaze.needles", {1: 3}, 172_800_000)]
    await until(lambda: kept_records(bare, SETTINGS) == kept)
