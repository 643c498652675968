import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from services.contracts import codec
from services.contracts.dead_letters import DeadLettered
from services.contracts.documents import documents, event_types, example, schema
from services.contracts.errors import UnreadableEvent
from services.contracts.events import Event
from services.contracts.matches import MatchGroups
from services.contracts.topics import TOPICS, Topic, topic_of
from tests import samples

EVENTS = [(topic, event) for topic in TOPICS for event in topic.events]


def test_the_committed_documents_say_what_the_code_says() -> None:
    stale = [path.name for path, text in documents().items() if path.read_text() != text]
    assert stale == [], "run: python -m services.contracts.documents"


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_every_event_has_an_example_that_is_read_and_written_alike(
    topic: Topic, event: type[Event]
) -> None:
    written = json.dumps(example(event)).encode()
    decoded = codec.decode(topic.name, written)
    assert type(decoded) is event
    assert json.loads(codec.encode(decoded)) == example(event)
    assert topic_of(decoded) is topic


@pytest.mark.parametrize("event", event_types())
def test_every_example_obeys_its_schema(event: type[Event]) -> None:
    jsonschema.validate(example(event), schema(event))


def test_an_event_has_the_same_id_every_time() -> None:
    assert samples.frame_captured().event_id == samples.frame_captured().event_id


def test_another_revision_is_another_event() -> None:
    first, second = (samples.frame_annotated(revision=revision) for revision in (1, 2))
    assert first.event_id != second.event_id


def test_consumers_ignore_fields_that_they_do_not_know() -> None:
    newer = {**json.loads(codec.encode(samples.frame_captured())), "colour": "red"}
    decoded = codec.decode("gaze.frames", json.dumps(newer).encode())
    assert decoded == samples.frame_captured()


def test_producers_refuse_fields_that_nobody_knows() -> None:
    with pytest.raises(ValidationError):
        samples.frame_captured().model_validate(
            {**samples.frame_captured().model_dump(exclude={"event_id"}), "colour": "red"}
        )


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object"),
        (b'{"frame_id": "f", "detector": "d", "version": "1"}', "detections"),
        (
            (
                b'{"frame_id": "f", "detector": "d", "version": "1", "detections": '
                b'[{"category": "c", "score": NaN, "bbox": [1, 2, 3, 4]}]}'
            ),
            "score",
        ),
        (
            (
                b'{"frame_id": "f", "detector": "d", "version": "1", "detections": '
                b'[{"category": "c", "score": 0.5, "bbox": [1, 2, 0, 4]}]}'
            ),
            "bbox",
        ),
        (
            (
                b'{"schema_version": 3, "frame_id": "f", "detector": "d", "version": "1",'
                b' "detections": []}'
            ),
            "schema_version",
        ),
    ],
)
def test_unreadable_bytes_are_named(value: bytes, names: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        codec.decode("gaze.predictions", value)
    assert names in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"complete": "no"},
        {"revision": True},
        {"version": 1},
        {"detections": [{"category": "sign", "score": "0.5", "bbox": [1, 2, 3, 4]}]},
    ],
)
def test_what_others_publish_has_the_types_of_the_schema(changed: dict[str, Any]) -> None:
    event = samples.predictions_made()
    value = json.dumps({**json.loads(codec.encode(event)), **changed}).encode()
    with pytest.raises(UnreadableEvent, match=next(iter(changed))):
        codec.decode("gaze.predictions", value)


@pytest.mark.parametrize("text", ["20260504", "1777777777", "2026-05-04", "yesterday-evening"])
def test_a_capture_time_has_a_date_a_time_and_a_zone(text: str) -> None:
    value = json.loads(codec.encode(samples.frame_captured())) | {"captured_at": text}
    with pytest.raises(UnreadableEvent, match="captured_at"):
        codec.decode("gaze.frames", json.dumps(value).encode())


def test_a_record_without_a_value_is_unreadable() -> None:
    with pytest.raises(UnreadableEvent):
        codec.decode("gaze.frames", None)


def test_a_needle_topic_tells_found_from_retracted() -> None:
    needle = samples.needle_found()
    retracted = samples.needle_retracted(needle, revision=2)
    assert codec.decode("gaze.needles", codec.encode(needle)) == needle
    assert codec.decode("gaze.needles", codec.encode(retracted)) == retracted


def test_matches_of_one_category_share_a_partition_and_no_key() -> None:
    first, second = samples.frame_matched("f1"), samples.frame_matched("f2")
    assert first.partitioned_by() == second.partitioned_by()
    assert first.key() != second.key()


def test_a_match_with_columns_of_different_length_is_refused() -> None:
    groups = samples.frame_matched().groups.model_dump()
    with pytest.raises(ValidationError, match="columns"):
        MatchGroups.model_validate({**groups, "scores": b""})


def test_a_dead_letter_keeps_bytes_that_are_no_text() -> None:
    letter = DeadLettered(
        service="embedder",
        reason="unreadable_event",
        detail="not JSON",
        original_value=b"\x00\xff",
        failed_at=datetime(2026, 5, 4, tzinfo=UTC),
    )
    assert codec.decode("gaze.dead-letters", codec.encode(letter)) == letter
