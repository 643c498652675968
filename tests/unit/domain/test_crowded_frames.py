"""Frames with 10,000 detections: the figures of COCO, in memory that grows with the detections."""

import tracemalloc

import numpy as np
import pytest

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.contracts.identity import FrameId
from services.domain.arrays import IntArray
from services.domain.detection import error_types
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.frame_matching import match_frame
from tests.unit.domain.oracle import CATEGORIES, Frame, coco_eval

MANY = 10_000


def crowded(detections: int, truths: int) -> Frame:
    rng = np.random.default_rng(9)
    frame_id = FrameId("frame-000000")

    def boxes(count: int) -> list[list[float]]:
        sized = [rng.uniform(0, 600, (count, 2)), rng.uniform(10, 80, (count, 2))]
        found: list[list[float]] = np.hstack(sized).round(1).tolist()
        return found

    def category(number: int) -> str:
        return CATEGORIES[number % len(CATEGORIES)]

    scores = rng.uniform(0, 1, detections).round(3).tolist()
    return Frame(
        PredictionsMade(
            frame_id=frame_id,
            detector="d",
            version="1",
            detections=tuple(
                Detection.model_validate({"category": category(i), "score": score, "bbox": box})
                for i, (box, score) in enumerate(zip(boxes(detections), scores, strict=True))
            ),
        ),
        FrameAnnotated(
            frame_id=frame_id,
            annotations=tuple(
                Annotation.model_validate({"category": category(i), "bbox": box})
                for i, box in enumerate(boxes(truths))
            ),
        ),
    )


def test_matches_of_ten_thousand_detections_are_pycocotools() -> None:
    frame = crowded(MANY, 40)
    evaluation = coco_eval([frame])
    computed = match_frame(frame.predictions, frame.truth)
    for k, category in enumerate(CATEGORIES):
        expected = evaluation.evaluateImg(1, k, evaluation.params.areaRng[0], 100)
        matched = [[bool(word >> t & 1) for word in computed[category].matched] for t in range(10)]
        assert list(computed[category].scores) == expected["dtScores"]
        assert matched == (expected["dtMatches"] > 0).tolist()


def test_ten_thousand_detections_and_annotations_are_matched_in_bounded_memory() -> None:
    frame = crowded(MANY, MANY)
    match_frame(*_parts(crowded(4, 4)))  # compiles
    tracemalloc.start()
    try:
        match_frame(*_parts(frame))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000  # bytes; 400 false positives and all ground truths at once take more


def _parts(frame: Frame) -> tuple[PredictionsMade, FrameAnnotated]:
    return frame.predictions, frame.truth


def test_errors_found_in_slices_or_by_boxes_are_those_found_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)

    def boxes(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.hstack([rng.uniform(0, 50, (count, 2)), rng.uniform(5, 30, (count, 2))])

    def numbers(count: int) -> IntArray:
        return rng.integers(0, 3, count)

    false, truths, no_crowd = boxes(101), boxes(17), np.zeros(17, np.bool_)
    overlap, used = iou_matrix(false, truths, no_crowd), rng.random(17) < 0.5
    categories = numbers(101), numbers(17)
    whole = error_types.errors_of_overlaps(overlap.__getitem__, *categories, used)
    monkeypatch.setattr(error_types, "_PAIRS_AT_ONCE", 40)
    sliced = error_types.errors_of_overlaps(overlap.__getitem__, *categories, used)
    ranges = np.tile((0, 17), (101, 1))
    by_boxes = error_types.errors_of_boxes(false, truths, ranges, *categories, used=used)
    for found in (sliced, by_boxes):
        np.testing.assert_array_equal(found.kind, whole.kind)
        np.testing.assert_array_equal(found.truth, whole.truth)
