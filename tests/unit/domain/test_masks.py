"""Masks are matched by their overlap, as pycocotools does from scratch."""

from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as rle

from services.contracts.errors import InvalidRecord
from services.contracts.events import (
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    PredictionsMade,
    Rle,
)
from services.contracts.identity import Category, FrameId
from services.contracts.matches import CategoryMatch
from services.domain.detection.frame_matching import match_frame
from services.domain.detection.masks import Masks, grid_of, mask_iou_matrix
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

GRID = (160, 200)
SIGN, LIGHT = Category("sign"), Category("light")


def mask_of(drawn: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Rle:
    encoded = rle.encode(np.asfortranarray(drawn))
    return Rle(size=drawn.shape, counts=encoded["counts"].decode())


def rectangle(left: int, top: int, width: int, height: int, *, hole: int = 0) -> Rle:
    drawn = np.zeros(GRID, np.uint8)
    drawn[top : top + height, left : left + width] = 1
    drawn[top + 1 : top + 1 + hole, left + 1 : left + 1 + hole] = 0
    return mask_of(drawn)


Place = tuple[int, int, int, int, int]


def _place(rng: np.random.Generator) -> Place:
    # Coarse on purpose: equal overlaps, overlaps of exactly .5, areas on the ranges' edges.
    left, top = (int(16 * n) for n in rng.integers(0, 6, 2))
    width, height = (int(n) for n in rng.choice([8, 16, 32, 64], 2))
    return (left, top, width, height, int(rng.choice([0, 4])))


def _moved(rng: np.random.Generator, place: Place) -> Place:
    left, top, width, height, hole = place
    x, y = (int(n) for n in rng.choice([0, 0, 0, 2, 8], 2))
    return (left + x, top + y, width, height, hole)


def _mask(place: Place) -> Rle:
    return rectangle(*place[:4], hole=place[4])


def _box(mask: Rle) -> tuple[float, float, float, float]:
    x, y, width, height = rle.toBbox({"size": list(mask.size), "counts": mask.counts}).tolist()
    return (x, y, width, height)


def random_frame(rng: np.random.Generator, number: int) -> oracle.Frame:
    frame_id = FrameId(f"frame-{number:06d}")
    annotations, found = list[Annotation](), list[Detection]()
    places = [_place(rng) for _ in range(rng.integers(0, 6))]
    for mask in map(_mask, places):
        area = float(rle.area({"size": list(mask.size), "counts": mask.counts}))
        annotations.append(
            Annotation(
                category=oracle.CATEGORIES[rng.integers(0, 3)],
                bbox=_box(mask),
                area=area,
                crowd=bool(rng.random() < 0.15),
                mask=mask,
            )
        )
    for _ in range(rng.integers(0, 9)):
        mask, category = _mask(_place(rng)), oracle.CATEGORIES[rng.integers(0, 4)]
        if annotations and rng.random() < 0.8:
            near = rng.integers(len(annotations))
            mask, category = _mask(_moved(rng, places[near])), annotations[near].category
        score = float(rng.integers(0, 8) / 8)
        found.append(Detection(category=category, score=score, bbox=_box(mask), mask=mask))
    predictions = PredictionsMade(
        frame_id=frame_id, detector="d", version="1", iou_type="segm", detections=tuple(found)
    )
    truth_event = FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations))
    return oracle.Frame(predictions, truth_event)


def numbers(state: MatchState, frame: oracle.Frame) -> dict[str, float | None]:
    return twelve(state.of(frame.predictions.detector_id, Subset.ALL).values())


@pytest.mark.parametrize("seed", range(12))
def test_streamed_mask_figures_equal_pycocotools_from_scratch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng, number) for number in range(12)]
    state = MatchState(OperatingScores(0.5))
    for frame in frames:
        state.add(oracle.matched(frame))
    expected = oracle.twelve(oracle.coco_eval(frames, "segm"))
    assert numbers(state, frames[0]) == pytest.approx(expected, abs=1e-9)

    # A correction replaces some frames' ground truth, as events of a higher revision.
    corrected = [random_frame(rng, number) for number in range(0, 12, 3)]
    for frame in corrected:
        matches = {match.category: match for match in oracle.matched(frame, revision=2)}
        former = oracle.matched(frames[_number(frame)])
        emptied = [replace(match, revision=2, **vars(CategoryMatch())) for match in former]
        state.add([*matches.values(), *(m for m in emptied if m.category not in matches)])
    now = {frame.frame_id: frame for frame in (*frames, *corrected)}
    expected = oracle.twelve(oracle.coco_eval(list(now.values()), "segm"))
    assert numbers(state, frames[0]) == pytest.approx(expected, abs=1e-9)


def _number(frame: oracle.Frame) -> int:
    return int(frame.frame_id.removeprefix("frame-"))


def frame_of(
    found: list[Detection], annotations: list[Annotation], *, iou_type: str = "segm"
) -> tuple[PredictionsMade, FrameAnnotated]:
    made = {"frame_id": "f", "detector": "d", "version": "1", "iou_type": iou_type}
    return (
        PredictionsMade.model_validate(made | {"detections": tuple(found)}),
        FrameAnnotated(frame_id=FrameId("f"), annotations=tuple(annotations)),
    )


FRAME_BOX = (0.0, 0.0, 40.0, 40.0)


def test_masks_that_differ_within_the_same_box_do_not_match() -> None:
    outer = Annotation(category=SIGN, bbox=FRAME_BOX, mask=rectangle(0, 0, 40, 40, hole=36))
    inner = Detection(category=SIGN, score=0.9, bbox=FRAME_BOX, mask=rectangle(1, 1, 36, 36))
    masks = match_frame(*frame_of([inner], [outer]))[SIGN]
    boxes = match_frame(*frame_of([inner], [outer], iou_type="bbox"))[SIGN]
    assert (masks.matched, masks.errors) == ((0,), (ErrorType.BACKGROUND,))
    assert boxes.matched[0] & 1


def test_error_types_are_told_apart_by_masks() -> None:
    truth = Annotation(category=LIGHT, bbox=FRAME_BOX, mask=rectangle(0, 0, 40, 40))
    wrong = Detection(category=SIGN, score=0.9, bbox=FRAME_BOX, mask=rectangle(0, 0, 40, 36))
    match = match_frame(*frame_of([wrong], [truth]))[SIGN]
    assert (match.errors, match.true_categories) == ((ErrorType.CLASSIFICATION,), (LIGHT,))


def test_an_object_without_a_mask_counts_as_its_box() -> None:
    truth = Annotation(category=SIGN, bbox=FRAME_BOX)
    found = Detection(category=SIGN, score=0.9, bbox=FRAME_BOX, mask=rectangle(0, 0, 40, 30))
    match = match_frame(*frame_of([found], [truth]))[SIGN]
    assert match.overlaps == (0.75,)


def test_a_frame_without_masks_is_matched_by_boxes() -> None:
    truth = Annotation(category=SIGN, bbox=FRAME_BOX)
    found = Detection(category=SIGN, score=0.9, bbox=(0.0, 0.0, 40.0, 20.5))
    match = match_frame(*frame_of([found], [truth]))[SIGN]
    assert match.overlaps == (0.5125,)


def test_a_boxs_mask_reaches_no_further_than_the_grid() -> None:
    far = Annotation(category=SIGN, bbox=(150.0, 100.0, 9e5, 9e5))
    masked = Annotation(category=SIGN, bbox=FRAME_BOX, mask=rectangle(0, 0, 40, 40))
    grid = grid_of([far, masked])
    assert grid == GRID
    assert Masks.of([far], GRID).areas.tolist() == [50.0 * 60.0]


def test_masks_on_different_grids_do_not_overlap() -> None:
    small = mask_of(np.ones((4, 4), np.uint8))
    large = mask_of(np.ones((8, 8), np.uint8))
    one, other = (
        Masks.of([Detection(category=SIGN, score=1, bbox=(0.0, 0.0, 4.0, 4.0), mask=mask)], GRID)
        for mask in (small, large)
    )
    assert mask_iou_matrix(one, other, np.zeros(1, np.bool_)).tolist() == [[0.0]]
    with pytest.raises(InvalidRecord):
        mask_iou_matrix(one, other, np.zeros(2, np.bool_))
