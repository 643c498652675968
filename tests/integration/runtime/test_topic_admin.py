"""Topics on a broker that has none yet, and on one that somebody else set up."""

from collections.abc import Iterator

import pytest

from services.contracts.topics import MATCHES, TOPICS
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings

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
    assert other.differences == ("gaze.matches has 3 partitions, not 5",)


def test_in_memory_topics_are_there_once_asked_about(memory_broker: BrokerAddress) -> None:
    assert create_topics(memory_broker, SETTINGS).differences == ()
