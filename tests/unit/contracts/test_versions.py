"""Version 1 of the events beside version 2: what is read, and what is written."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import jsonschema
import numpy as np
import pytest

from services.contracts import codec
from services.contracts.dead_letters import DeadLettered
from services.contracts.documents import VERSION_1, example
from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.events import ErrorType, Event, FrameAnnotated, PredictionsMade
from services.contracts.identity import Category, FrameId
from services.contracts.matches import ROWS_AT_ONCE, CategoryMatched, FrameMatched, categories_of
from services.contracts.topics import MATCHES, TOPICS, topic_of
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.revision_conflicts import content_of
from services.domain.withdrawal import withdrawn
from services.runtime.kafka.partitions import partition_of_key
from tests import samples
from tests.unit.domain import oracle

NEW: tuple[type[Event], ...] = (FrameErased, MatchesErased)
"""The events that version 1 did not have."""
PUBLISHED = [(topic.name, event) for topic in TOPICS for event in topic.events if event not in NEW]
DIGESTS = {FrameAnnotated: "a08fb309faa2edcd", PredictionsMade: "dc3a9e2efcd2e86e"}
"""How the sample events' digests began before they could say that they are not complete."""


def decoded(topic: str, event: type[Event]) -> Event:
    return codec.decode(topic, json.dumps(example(event)).encode())


def version_1(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((VERSION_1 / f"{name}.json").read_text())
    return schema


@pytest.mark.parametrize(("topic", "event"), PUBLISHED)
def test_what_is_written_as_version_1_obeys_the_schema_of_version_1(
    topic: str, event: type[Event]
) -> None:
    plain = decoded(topic, event)
    if isinstance(plain, DeadLettered):  # headers are written all the same
        plain = plain.model_copy(update={"original_headers": ()})
    records = codec.written(plain, 1)
    assert records
    for _, value in records:
        jsonschema.validate(json.loads(value), version_1(event.__name__))


@pytest.mark.parametrize(("topic", "event"), PUBLISHED)
def test_a_version_1_event_is_read_and_written_again_as_it_was(
    topic: str, event: type[Event]
) -> None:
    old = json.loads((VERSION_1 / f"{event.__name__}.example.json").read_text())
    read = codec.decode(topic, json.dumps(old).encode())
    assert type(read) is event
    ((_, value),) = codec.written(read, 1)
    assert json.loads(value) == old


@pytest.mark.parametrize("seed", range(5))
def test_a_match_of_version_1_is_read_as_a_valid_one_of_version_2(seed: int) -> None:
    for frame in oracle.random_frames(seed, 3):
        for record in samples.published(oracle.matched(frame)):
            for _, value in codec.written(record, 1):
                read = codec.decode(MATCHES.name, value)
                again = FrameMatched.model_validate_json(codec.encode(read), extra="ignore")
                assert again == read


def test_an_event_keeps_its_id_in_the_other_version() -> None:
    for event in (samples.frame_captured(), samples.predictions_made(), samples.needle_found()):
        ((_, old),) = codec.written(event, 1)
        ((_, new),) = codec.written(event, 2)
        assert json.loads(old)["event_id"] == json.loads(new)["event_id"]


def test_an_erasure_is_written_whatever_version_is_set() -> None:
    erased = FrameErased.of(FrameId("f1"), reason="request 17", requested_by="ada")
    assert codec.written(erased, 1) == codec.written(erased, 2)


def test_what_version_1_cannot_say_is_not_written_as_version_1() -> None:
    missed = samples.needle_found().model_copy(update={"error_type": ErrorType.MISSED})
    assert codec.written(missed, 1) == []
    assert len(codec.written(missed, 2)) == 1


def test_predictions_that_are_matched_by_masks_say_so_in_both_versions() -> None:
    boxes = samples.predictions_made(samples.detection())
    masks = boxes.model_copy(update={"iou_type": "segm"})
    ((_, old),), ((_, new),) = (codec.written(masks, version) for version in (1, 2))
    assert {json.loads(value)["iou_type"] for value in (old, new)} == {"segm"}
    ((_, old),) = codec.written(boxes, 1)
    assert "iou_type" not in json.loads(old)
    assert content_of(masks) != content_of(boxes)


def test_a_new_field_changes_the_content_and_an_absent_one_does_not() -> None:
    plain = samples.predictions_made(samples.detection())
    (found,) = plain.detections
    tracked = plain.model_copy(
        update={"detections": (found.model_copy(update={"track_id": "t1"}),)}
    )
    assert content_of(tracked) != content_of(plain)
    assert content_of(codec.decode("gaze.predictions", codec.encode(plain))) == content_of(plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("fact", [samples.frame_annotated(), samples.predictions_made()])
def test_what_was_published_before_is_known_by_the_same_digest(
    fact: FrameAnnotated | PredictionsMade,
) -> None:
    assert content_of(fact)[:16] == DIGESTS[type(fact)]
    assert content_of(fact.model_copy(update={"complete": False}))[:16] != DIGESTS[type(fact)]


def crowded(categories: int, size: int) -> FrameMatched:
    """A match of many categories with as many detections each."""
    one = categories_of([samples.frame_matched()])[0]
    rows = {
        name: getattr(one, name) * size
        for name in ("regions", "bboxes", "scores", "matched", "ignored", "overlaps")
    }
    return samples.published(
        [
            CategoryMatched(
                **{
                    **vars(one),
                    **rows,
                    "errors": one.errors * size,
                    "true_categories": one.true_categories * size,
                    "category": Category(f"category {number}"),
                }
            )
            for number in range(categories)
        ]
    )[0]


@pytest.mark.parametrize("partitions", [1, 4, 32])
def test_a_match_is_divided_by_the_partitions_of_its_categories(partitions: int) -> None:
    match = crowded(10, 3)
    records = codec.written(match, 2, lambda key: partition_of_key(key, partitions))
    numbers = [
        {partition_of_key(category, partitions) for category in part.groups.categories}
        for part, _ in records
        if isinstance(part, FrameMatched)
    ]
    assert all(len(some) == 1 for some in numbers)
    assert len(numbers) == len({number for some in numbers for number in some})
    assert [partition_of_key(part.partitioned_by(), partitions) for part, _ in records] == [
        number for some in numbers for number in some
    ]
    read = [codec.decode(MATCHES.name, value) for _, value in records]
    assert set(categories_of(read)) == set(categories_of([match]))  # type: ignore[arg-type]


def test_a_match_that_is_too_large_for_a_record_is_divided_further() -> None:
    match = crowded(50, 100)
    parts = [part for part, _ in codec.written(match, 2) if isinstance(part, FrameMatched)]
    assert [sum(part.groups.sizes) for part in parts] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 1000]
    assert len({part.event_id for part in parts}) == 3
    assert categories_of(parts) == categories_of([match])


def both_versions(match: FrameMatched, rng: random.Random) -> list[bytes]:
    version: codec.EventVersion = rng.choice((1, 2))
    return [value for _, value in codec.written(match, version, lambda _: rng.randrange(3))]


@pytest.mark.parametrize("seed", range(10))
def test_both_versions_in_any_order_give_the_same_figures(seed: int) -> None:
    """During a rollout some processes write the one and some the other, and all read both."""
    rng = random.Random(seed)
    frames = oracle.random_frames(seed, 12)
    matches = [m for frame in frames for m in oracle.matched(frame)]
    again = [m for frame in frames[:5] for m in oracle.matched(frame, revision=2, shortlisted=True)]
    values = [
        value
        for match in samples.published([*matches, *again])
        for value in both_versions(match, rng) + both_versions(match, rng)
    ]
    rng.shuffle(values)
    state, expected = MatchState(OperatingScores(0.5)), MatchState(OperatingScores(0.5))
    state.add(read(values))
    expected.add([*matches, *again])
    assert held(state) == held(expected)


def read(values: Sequence[bytes]) -> list[CategoryMatched]:
    events = [codec.decode(MATCHES.name, value) for value in values]
    return categories_of([event for event in events if isinstance(event, FrameMatched)])


def held(state: MatchState) -> object:
    """Every figure of every curve and subset."""
    figures = {
        (curve, subset): state.figures(curve, subset)
        for curve in state.curves()
        for subset in Subset
    }
    return {
        key: (
            np.nan_to_num(one.numbers, nan=-1).tolist(),
            one.frames,
            one.detections,
            one.operating,
        )
        for key, one in figures.items()
    }


def test_version_1_says_that_predictions_or_ground_truth_are_withdrawn() -> None:
    for fact in (samples.predictions_made(samples.detection()), samples.frame_annotated()):
        taken_back = withdrawn(fact)
        ((_, old),) = codec.written(taken_back, 1)
        assert codec.decode(topic_of(taken_back).name, old) == taken_back
        ((_, kept),) = codec.written(fact, 1)
        assert "withdrawn" not in json.loads(kept)


def test_version_1_keeps_the_headers_of_a_dead_letter_which_its_replay_needs() -> None:
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"detections"))
    letter = DeadLettered(
        service="bridge",
        reason="unknown_frame",
        detail="no such frame",
        original_topic="detector.output",
        original_value=b"{}",
        original_headers=headers,
        failed_at=datetime(2026, 5, 4, tzinfo=UTC),
    )
    ((_, old),) = codec.written(letter, 1)
    assert codec.decode("gaze.dead-letters", old) == letter
