"""Label errors that detectors make suspect."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from services.contracts.events import Annotation, Detection, FrameAnnotated
from services.contracts.identity import Box, Category, FrameId
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.category_map import SAME_NAMES
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import (
    LabelledFrame,
    SuspectedLabel,
    in_order,
    of_several,
    suspected_labels,
)
from tests import samples

BOX: Box = (100.0, 100.0, 40.0, 40.0)
FAR: Box = (300.0, 200.0, 40.0, 40.0)
NEAR: Box = (115.0, 110.0, 40.0, 40.0)
STOP, YIELD = samples.STOP_SIGN, Category("yield")


def framed(
    name: str, found: tuple[Detection, ...], annotations: tuple[Annotation, ...], **facts: object
) -> LabelledFrame:
    truth = FrameAnnotated(frame_id=FrameId(name), annotations=annotations).model_copy(update=facts)
    named = SAME_NAMES.named(samples.predictions_made(*found, frame_id=name))
    return LabelledFrame.of(named, truth, name, (640, 360))


def right(name: str, score: float = 0.9) -> LabelledFrame:
    return framed(
        name, (samples.detection(score=score, bbox=BOX),), (samples.annotation(bbox=BOX),)
    )


def background(name: str) -> LabelledFrame:
    """A false positive: low in score, and never annotated."""
    return framed(name, (samples.detection(score=0.3, bbox=FAR),), ())


KNOWN = [right(f"r{n}") for n in range(30)] + [background(f"b{n}") for n in range(30)]


def first(frame: LabelledFrame, kind: LabelError) -> SuspectedLabel | None:
    """What is suspected of a frame beside the known ones."""
    found = [s for s in suspected_labels([*KNOWN, frame]) if s.error is kind]
    return next((s for s in found if s.frame_id == frame.frame_id), None)


def test_a_detection_like_the_right_ones_without_a_label_is_the_most_suspicious() -> None:
    frame = framed("odd", (samples.detection(score=0.9, bbox=BOX),), ())
    found = [s for s in suspected_labels([*KNOWN, frame]) if s.error is LabelError.MISSING]
    assert (found[0].frame_id, found[0].bbox, found[0].annotated_as) == ("odd", BOX, None)
    assert found[0].suspicion > 0.7
    assert all(other.suspicion < 0.3 for other in found[1:])


def of_units(frames: list[LabelledFrame], *units: str) -> list[LabelledFrame]:
    """The frames, which take turns in belonging to these drives."""
    return [replace(frame, unit=units[k % len(units)]) for k, frame in enumerate(frames)]


@pytest.mark.parametrize(
    "units", [("d1",), ("d3", "d9"), ("d1", "d2", "d3")], ids=["one", "one_fold", "some"]
)
def test_few_drives_are_enough_to_learn_from(units: tuple[str, ...]) -> None:
    odd = [framed(f"odd{n}", (samples.detection(score=0.9, bbox=BOX),), ()) for n in range(2)]
    found = suspected_labels(of_units([*KNOWN, *odd], *units))
    missing = [s for s in found if s.error is LabelError.MISSING]
    assert {s.frame_id for s in missing[:2]} == {"odd0", "odd1"}
    assert missing[1].suspicion > 0.7
    assert missing[2].suspicion < 0.4


def test_frames_without_detections_are_none_to_learn_from() -> None:
    empty = [framed(f"e{n}", (), (samples.annotation(bbox=BOX),)) for n in range(9)]
    odd = framed("odd", (samples.detection(score=0.9, bbox=BOX),), ())
    units = of_units([*KNOWN, odd], "d1") + of_units(empty, *map(str, range(9)))
    found = [s for s in suspected_labels(units) if s.error is LabelError.MISSING]
    assert found[0].frame_id == "odd"
    assert found[0].suspicion > 0.7


def test_on_a_lone_frame_scores_are_taken_as_they_are() -> None:
    twice = (samples.detection(score=0.9, bbox=BOX), samples.detection(score=0.4, bbox=FAR))
    found = suspected_labels([framed("odd", twice, ())])
    assert [s.suspicion for s in found] == [0.9, 0.4]


def test_boxes_on_one_object_lack_one_label() -> None:
    twice = (
        samples.detection(score=0.9, bbox=BOX),
        samples.detection(score=0.7, bbox=(102.0, 101.0, 40.0, 40.0)),
    )
    found = suspected_labels([*KNOWN, framed("odd", twice, ())])
    assert sum(s.frame_id == "odd" and s.error is LabelError.MISSING for s in found) == 1


HALF: Box = (100.0, 100.0, 40.0, 20.0)
"""Overlaps with `BOX` by exactly .5."""


def test_boxes_that_overlap_by_exactly_half_are_one_object() -> None:
    found = (samples.detection(score=0.9, bbox=BOX), samples.detection(score=0.8, bbox=HALF))
    lacking = suspected_labels([framed("odd", found, ())])
    assert [(s.bbox, s.suspicion) for s in lacking] == [(BOX, 0.9)]
    merged = of_several([lacking, [replace(lacking[0], bbox=HALF, suspicion=0.8)]])
    assert [(s.bbox, round(s.suspicion, 9)) for s in merged] == [(BOX, 0.85)]


def test_what_is_annotated_as_a_crowd_lacks_no_label() -> None:
    crowd = samples.annotation(bbox=(50.0, 50.0, 200.0, 200.0)).model_copy(update={"crowd": True})
    frame = framed("odd", (samples.detection(score=0.9, bbox=BOX),), (crowd,))
    assert first(frame, LabelError.MISSING) is None


def test_a_category_that_nobody_annotated_lacks_no_label() -> None:
    found = (samples.detection(score=0.9, bbox=BOX),)
    assert first(framed("odd", found, (), categories=(YIELD,)), LabelError.MISSING) is None


def test_an_annotation_that_another_category_covers_is_suspected() -> None:
    annotations = (samples.annotation(YIELD, BOX),)
    suspect = first(
        framed("odd", (samples.detection(score=0.9, bbox=BOX),), annotations), LabelError.CATEGORY
    )
    assert suspect is not None
    assert (suspect.category, suspect.annotated_as) == (STOP, YIELD)
    assert suspect.suspicion == pytest.approx(0.9)


def test_a_detection_of_its_own_category_clears_an_annotation() -> None:
    both = (
        samples.detection(score=0.9, bbox=BOX),
        samples.detection(category=YIELD, score=0.8, bbox=BOX),
    )
    suspect = first(framed("odd", both, (samples.annotation(YIELD, BOX),)), LabelError.CATEGORY)
    assert suspect is not None
    assert suspect.suspicion == pytest.approx(0.9 * 0.2)


def test_a_detection_that_another_annotation_explains_contradicts_nothing() -> None:
    """Two objects that overlap, both annotated."""
    annotations = (samples.annotation(YIELD, BOX), samples.annotation(STOP, BOX))
    frame = framed("odd", (samples.detection(score=0.9, bbox=BOX),), annotations)
    assert first(frame, LabelError.CATEGORY) is None


def test_an_annotation_off_a_sure_detection_is_suspected_by_how_far() -> None:
    def suspicion(bbox: Box, score: float) -> float:
        found = (samples.detection(score=score, bbox=BOX),)
        frame = framed("odd", found, (samples.annotation(bbox=bbox),))
        suspect = first(frame, LabelError.PLACEMENT)
        return suspect.suspicion if suspect is not None else 0.0

    assert suspicion(NEAR, 0.9) > suspicion(NEAR, 0.6) > 0
    assert suspicion(NEAR, 0.9) > suspicion((103.0, 100.0, 40.0, 40.0), 0.9) > 0
    assert suspicion(BOX, 0.9) == suspicion(FAR, 0.9) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_frames_changes_nothing(seed: int) -> None:
    frames = [*KNOWN, framed("odd", (samples.detection(score=0.8, bbox=NEAR),), ())]
    shuffled = [frames[k] for k in np.random.default_rng(seed).permutation(len(frames))]
    one, other = suspected_labels(frames), suspected_labels(shuffled)
    key = [(s.error, s.frame_id, s.bbox, round(s.suspicion, 6)) for s in in_order(one)]
    assert sorted(key) == sorted(
        (s.error, s.frame_id, s.bbox, round(s.suspicion, 6)) for s in other
    )


def test_without_detections_nothing_is_suspected() -> None:
    assert suspected_labels([]) == []
    assert suspected_labels([framed("f", (), (samples.annotation(),))]) == []


def suspect(kind: LabelError, bbox: Box, suspicion: float, was: Category | None) -> SuspectedLabel:
    return SuspectedLabel(FrameId("f"), kind, bbox, STOP, was, suspicion)


def test_what_several_detectors_contradict_comes_before_what_one_does() -> None:
    one = [
        suspect(LabelError.MISSING, BOX, 0.6, None),
        suspect(LabelError.MISSING, FAR, 0.8, None),
        suspect(LabelError.CATEGORY, BOX, 0.5, YIELD),
    ]
    other = [
        suspect(LabelError.MISSING, (101.0, 101.0, 40.0, 40.0), 0.5, None),
        suspect(LabelError.CATEGORY, BOX, 0.3, YIELD),
    ]
    found = of_several([one, other])
    assert [(s.error, s.bbox, round(s.suspicion, 3)) for s in found] == [
        (LabelError.MISSING, BOX, 0.55),
        (LabelError.CATEGORY, BOX, 0.4),
        (LabelError.MISSING, FAR, 0.4),
    ]
    assert of_several([one]) == in_order(one)


def crowded(seed: int, count: int) -> list[SuspectedLabel]:
    """Many suspects on one frame, a lot of which overlap."""
    rng = np.random.default_rng(seed)
    places = np.column_stack([rng.integers(0, 8, (count, 2)) * 10, np.full((count, 2), 40)])
    kinds = rng.choice([LabelError.MISSING, LabelError.CATEGORY], count)
    categories = rng.choice([STOP, YIELD], count)
    return [
        SuspectedLabel(
            FrameId("f"),
            LabelError(kind),
            (float(x), float(y), float(width), float(height)),
            Category(category),
            None if kind == LabelError.MISSING else YIELD,
            float(rng.integers(1, 9)) / 16 + number / 2**20,
        )
        for number, ((x, y, width, height), kind, category) in enumerate(
            zip(places, kinds, categories, strict=True)
        )
    ]


def is_same(one: SuspectedLabel, other: SuspectedLabel) -> bool:
    if one.error is not LabelError.MISSING or other.error is not LabelError.MISSING:
        return (one.error, one.bbox) == (other.error, other.bbox)
    boxes = np.array([one.bbox, other.bbox], np.float64)
    overlap = iou_matrix(boxes[:1], boxes[1:], np.zeros(1, np.bool_))[0, 0]
    return one.category == other.category and bool(overlap >= 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_suspects_are_merged_as_one_by_one(seed: int) -> None:
    detectors = [crowded(seed, 60), crowded(seed + 100, 60)]
    groups: list[list[SuspectedLabel]] = []
    for item in [*detectors[0], *detectors[1]]:
        group = next((group for group in groups if is_same(group[0], item)), None)
        if group is None:
            groups.append([item])
        else:
            group.append(item)
    firsts = [max(group, key=lambda item: item.suspicion) for group in groups]
    means = [min(sum(item.suspicion for item in group) / 2, 1.0) for group in groups]
    expected = [replace(first, suspicion=m) for first, m in zip(firsts, means, strict=True)]
    assert of_several(detectors) == in_order(expected)


def test_the_memory_of_a_frame_does_not_grow_with_the_square_of_its_detections() -> None:
    rng = np.random.default_rng(0)
    found = tuple(
        samples.detection(score=float(score), bbox=(x, y, 20.0, 20.0))
        for score, x, y in rng.random((3000, 3)) * [1, 300, 150]
    )
    frame = framed("odd", found, ())
    tracemalloc.start()
    try:
        suspects = suspected_labels([frame])
        of_several([suspects, suspects])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(suspects) > 200
    assert peak < 10_000_000  # an overlap of each pair alone takes 72 MB
