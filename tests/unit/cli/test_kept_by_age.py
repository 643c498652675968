"""`gazeloop doctor` names the ages of records; a stack of our own has the detector's topic."""

from datetime import UTC, datetime

from services.app.doctor.mongodb import records_kept, replaced_models
from services.app.subscriptions import topics_created
from services.contracts.identity import ModelId
from services.contracts.topics import TOPICS
from services.runtime.settings import Settings


def test_doctor_names_the_ages_of_records() -> None:
    assert records_kept(Settings()) == []

    (found,) = records_kept(Settings(retain_verdicts_days=30))

    assert found.what == "ingest deletes decisions about retracted needles after 30 days"


def test_doctor_names_the_models_whose_vectors_go() -> None:
    replaced = {ModelId("old-8d"): datetime(2026, 5, 4, tzinfo=UTC)}

    assert replaced_models(replaced, Settings()) == []

    (found,) = replaced_models(replaced, Settings(retain_vectors_days=30))

    assert found.what.startswith("old-8d is not live any more since 2026-05-04: the embedder")


def test_a_stack_of_our_own_has_the_topic_of_its_bridge() -> None:
    names = [topic.name for topic in topics_created(Settings(bridge_topic="detector.output"))]

    assert names == [*(topic.name for topic in TOPICS), "detector.output"]


def test_the_topic_of_another_cluster_is_not_created() -> None:
    elsewhere = Settings(bridge_topic="detector.output", bridge_kafka="far:9092")

    assert topics_created(elsewhere) == TOPICS
