from collections.abc import Sequence

import numpy as np
import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade, Rle
from services.contracts.identity import Category, FrameId
from services.contracts.matches import CategoryMatch
from services.domain.detection.boxes import Annotations, Detections, iou_matrix
from services.domain.detection.frame_matching import frame_match, frame_matches, match_frame
from tests.unit.domain.oracle import CATEGORIES, Frame, coco_eval, random_frames

SIGN = Category("sign")
BOX = (10.0, 10.0, 40.0, 40.0)
MASKED = Detection(category=SIGN, score=0.6, bbox=(0, 0, 2, 2), mask=Rle(size=(4, 4), counts="04<"))


def match(found: list[Detection], annotations: list[Annotation]) -> dict[Category, CategoryMatch]:
    frame_id = FrameId("f")
    return match_frame(
        PredictionsMade(frame_id=frame_id, detector="d", version="1", detections=tuple(found)),
        FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations)),
    )


def sign(score: float, bbox: tuple[float, float, float, float] = BOX) -> Detection:
    return Detection(category=SIGN, score=score, bbox=bbox)


@pytest.mark.parametrize("seed", range(60))
def test_every_bit_equals_pycocotools_evaluate_img(seed: int) -> None:
    _equals_pycocotools(random_frames(seed, 4, detections=140 if seed % 10 == 0 else 12, truths=10))


@pytest.mark.parametrize("seed", range(4))
def test_many_annotations_of_one_place_are_matched_as_pycocotools_does(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def box() -> tuple[float, float, float, float]:
        x, y = rng.integers(10, 14, 2).tolist()  # many overlap equally
        return (x, y, 40.0, 40.0)

    annotations = [Annotation(category=CATEGORIES[0], bbox=box()) for _ in range(90)]
    found = [
        Detection(category=CATEGORIES[0], score=float(rng.random()), bbox=box()) for _ in range(60)
    ]
    frame_id = FrameId("f")
    _equals_pycocotools(
        [
            Frame(
                PredictionsMade(
                    frame_id=frame_id, detector="d", version="1", detections=tuple(found)
                ),
                FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations)),
            )
        ]
    )


def _equals_pycocotools(frames: Sequence[Frame]) -> None:
    evaluation = coco_eval(frames)
    for image_id, frame in enumerate(frames, start=1):
        matches = match_frame(frame.predictions, frame.truth)
        for k, category in enumerate(CATEGORIES):
            for area, limits in enumerate(evaluation.params.areaRng):
                expected = evaluation.evaluateImg(image_id, k, limits, 100)
                if expected is None:
                    assert category not in matches
                    continue
                computed = matches[category]
                shift = 10 * area
                assert list(computed.scores) == expected["dtScores"]
                assert _rows(computed.matched, shift) == (expected["dtMatches"] > 0).tolist()
                assert _rows(computed.ignored, shift) == expected["dtIgnore"].tolist()
                assert computed.ground_truths[area] == np.count_nonzero(expected["gtIgnore"] == 0)


def _rows(words: tuple[int, ...], shift: int) -> list[list[bool]]:
    return [[bool(word >> (shift + t) & 1) for word in words] for t in range(10)]


@pytest.mark.parametrize("seed", range(20))
def test_the_overlap_of_a_true_positive_is_that_of_the_box_it_matched(seed: int) -> None:
    for frame in random_frames(seed, 6):
        for category, computed in match_frame(frame.predictions, frame.truth).items():
            boxes = [a.bbox for a in frame.truth.annotations if a.category == category]
            for word, ignored, bbox, overlap in zip(
                computed.matched, computed.ignored, computed.bboxes, computed.overlaps, strict=True
            ):
                assert (overlap >= 0.5) == bool(word & 1)
                if word & 1 and not ignored & 1:
                    ious = iou_matrix(np.array([bbox]), np.array(boxes), np.zeros(len(boxes), bool))
                    assert overlap in ious[0]


def test_an_ignored_annotation_takes_one_detection_out_of_the_count() -> None:
    annotations = [Annotation(category=SIGN, bbox=BOX, ignore=True)]
    computed = match([sign(0.9), sign(0.8)], annotations)[SIGN]
    assert computed.ground_truths == (0, 0, 0, 0)
    assert [word & 1 for word in computed.ignored] == [1, 0]
    assert [word & 1 for word in computed.matched] == [1, 0]


def test_a_crowd_takes_all_detections_inside_it_out_of_the_count() -> None:
    annotations = [Annotation(category=SIGN, bbox=(0, 0, 400, 400), crowd=True)]
    computed = match([sign(0.9), sign(0.8)], annotations)[SIGN]
    assert [word & 1 for word in computed.ignored] == [1, 1]


def test_an_annotation_without_an_area_has_its_masks_and_then_its_boxs() -> None:
    mask = Rle(size=(4, 4), counts="04<")  # four pixels
    wide = (0.0, 0.0, 200.0, 200.0)
    by_mask = match([], [Annotation(category=SIGN, bbox=wide, mask=mask)])[SIGN]
    by_box = match([], [Annotation(category=SIGN, bbox=wide)])[SIGN]
    matched = match([], [Annotation(category=SIGN, bbox=wide, mask=mask, area=5000)])[SIGN]
    assert by_mask.ground_truths == (1, 1, 0, 0)
    assert by_box.ground_truths == (1, 0, 0, 1)
    assert matched.ground_truths == (1, 0, 1, 0)


def test_of_more_than_a_hundred_detections_the_best_hundred_count() -> None:
    computed = match([sign(i / 200) for i in range(150)], [])[SIGN]
    assert computed.scores == tuple(i / 200 for i in range(149, 49, -1))


def test_regions_keep_the_ids_that_the_predictions_give_them() -> None:
    predictions = PredictionsMade(
        frame_id=FrameId("f"), detector="d", version="1", detections=(sign(0.1), sign(0.7))
    )
    truth = FrameAnnotated(frame_id=FrameId("f"), annotations=())
    ids = predictions.region_ids()
    assert match_frame(predictions, truth)[SIGN].regions == (ids[1], ids[0])


def test_a_frame_with_nothing_on_it_matches_nothing() -> None:
    assert match([], []) == {}


@pytest.mark.parametrize(
    ("boxes", "scores", "reason"),
    [
        ([[0, 0, 0, 1]], [0.5], "box_without_area"),
        ([[0, 0, 1, -1]], [0.5], "box_without_area"),
        ([[0, np.nan, 1, 1]], [0.5], "box_not_finite"),
        ([[0, 0, np.inf, 1]], [0.5], "box_not_finite"),
        ([[0, 0, 1, 1]], [np.nan], "score_not_finite"),
        ([[0, 0, 1, 1]], [np.inf], "score_not_finite"),
        ([[0, 0, 1, 1]], [0.5, 0.5], "length"),
        ([[0, 0, 1]], [0.5], "box_shape"),
    ],
)
def test_what_cannot_be_matched_is_refused_by_name(
    boxes: list[list[float]], scores: list[float], reason: str
) -> None:
    with pytest.raises(InvalidRecord) as caught:
        Detections(np.array([0, 1]), np.array(boxes, float), np.array(scores))
    assert caught.value.reason == reason


def test_annotations_with_a_negative_area_or_stray_groups_are_refused() -> None:
    box, no = np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([False])
    with pytest.raises(InvalidRecord, match="negative"):
        Annotations(np.array([0, 1]), box, np.array([-1.0]), no, no)
    with pytest.raises(InvalidRecord, match="groups"):
        Annotations(np.array([0, 2]), box, np.array([1.0]), no, no)


@pytest.mark.parametrize("seed", range(10))
def test_frames_match_together_as_each_does_alone(seed: int) -> None:
    frames = [(item.predictions, item.truth) for item in random_frames(seed, 5)]
    empty = frames[0][0].model_copy(update={"detections": ()})
    frames[2:2] = [
        (empty, frames[1][1]),
        (empty, frames[1][1].model_copy(update={"annotations": ()})),
    ]
    by_masks = frames[0][0].model_copy(update={"iou_type": "segm", "detections": (MASKED,)})
    frames[1:1] = [(by_masks, frames[0][1])]
    for frame, together in zip(frames, frame_matches(frames), strict=True):
        alone = frame_match(*frame)
        assert together.categories == alone.categories
        for name in set(vars(alone)) - {"categories", "errors"}:
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name), name)
        np.testing.assert_array_equal(together.errors.kind, alone.errors.kind)
        np.testing.assert_array_equal(together.errors.truth, alone.errors.truth)
