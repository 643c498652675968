import pytest

from services.app.topic_access import OPERATOR, SCALER, Grant, commands, grants_of
from services.contracts.flow import (
    CONSUMERS,
    OPTIONAL_SERVICES,
    READS,
    REVIEW,
    SERVICES,
    WRITES,
    group_of,
)
from services.contracts.topics import (
    DEAD_LETTERS,
    GROUND_TRUTH,
    MATCHES,
    REANNOTATION_TOPIC,
    TOPICS,
)


def test_every_service_has_its_grants() -> None:
    assert set(WRITES) == {*SERVICES, *OPTIONAL_SERVICES}


def test_every_topic_has_somebody_who_writes_it() -> None:
    assert {topic for topics in WRITES.values() for topic in topics} == set(TOPICS)


@pytest.mark.parametrize("service", [*CONSUMERS, *OPTIONAL_SERVICES])
def test_a_service_reads_its_own_topics_as_its_own_group(service: str) -> None:
    grants = grants_of(service)
    read = {
        grant.name for grant in grants if "Read" in grant.operations and grant.resource == "topic"
    }
    assert read == {topic.name for topic in READS[service]}
    assert [grant.name for grant in grants if grant.resource == "group"] == [group_of(service)]


@pytest.mark.parametrize("service", ["bridge", OPERATOR])
def test_the_topic_of_the_bridge_is_read_by_it_and_by_who_backs_up_its_offsets(
    service: str,
) -> None:
    (added,) = {*grants_of(service, "detector.output")} - {*grants_of(service)}
    assert added == Grant("topic", "detector.output", ("Describe", "Read"))


def test_the_review_page_writes_corrections_and_dead_letters_and_reads_only_these() -> None:
    assert grants_of(REVIEW) == [
        Grant("topic", DEAD_LETTERS.name, ("Describe", "Read", "Write")),
        Grant("topic", GROUND_TRUTH.name, ("Describe", "Write")),
    ]


def test_the_retriever_publishes_no_ground_truth() -> None:
    written = {item.name for item in grants_of("retriever") if "Write" in item.operations}
    assert written == {REANNOTATION_TOPIC.name, DEAD_LETTERS.name}


def test_the_evaluator_cannot_write_what_it_reads() -> None:
    (matches,) = [item for item in grants_of("evaluator") if item.name == MATCHES.name]
    assert matches.operations == ("Describe", "Read")


def test_the_scaler_only_looks() -> None:
    assert {item.operations for item in grants_of(SCALER)} == {("Describe",)}


def test_a_grant_reads_as_a_command_of_kafkas_own_tool() -> None:
    assert (
        "kafka-acls.sh --bootstrap-server a:1 --add --allow-principal User:gazeloop-fp-miner"
        f" --operation Describe --operation Write --topic {DEAD_LETTERS.name}"
    ) in commands("fp_miner", "a:1")
