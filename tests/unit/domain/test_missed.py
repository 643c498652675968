import numpy as np
import pytest

from services.contracts.events import Annotation, FrameAnnotated
from services.domain.detection.frame_matching import frame_match
from services.domain.detection.missed import missed_annotations
from tests.unit.domain.oracle import CATEGORIES, Frame, coco_eval, random_frame, random_frames


@pytest.mark.parametrize("score", [0.0, 0.5, 0.875])
@pytest.mark.parametrize("seed", range(8))
def test_missed_is_what_pycocotools_leaves_unmatched(seed: int, score: float) -> None:
    for frame in random_frames(seed, 4, detections=12, truths=10):
        missed = _missed(frame, score)
        shown = [d for d in frame.predictions.detections if d.score >= score]
        predictions = frame.predictions.model_copy(update={"detections": tuple(shown)})
        evaluation = coco_eval([Frame(predictions, frame.truth)])
        ids = frame.truth.annotation_ids()
        expected = []
        for k in range(len(CATEGORIES)):
            there = evaluation.evaluateImg(1, k, evaluation.params.areaRng[0], 100)
            if there is not None:
                left = (there["gtMatches"][0] == 0) & (there["gtIgnore"] == 0)
                expected += [ids[n - 1] for n in np.array(there["gtIds"])[left]]
        assert sorted(missed) == sorted(expected)


def _missed(frame: Frame, score: float) -> list[str]:
    match = frame_match(frame.predictions, frame.truth)
    groups = missed_annotations(match, frame.truth, [score] * len(match.categories))
    return [missed.region for group in groups for missed in group]


def test_ignored_annotations_are_not_missed() -> None:
    frame = random_frame(np.random.default_rng(1), 1)
    annotation = Annotation(category=CATEGORIES[0], bbox=(0, 0, 10, 10), ignore=True)
    truth = FrameAnnotated(frame_id=frame.frame_id, annotations=(annotation,))
    assert _missed(Frame(frame.predictions, truth), 0.5) == []


@pytest.mark.parametrize(
    ("area", "area_range"), [(1.0, 1), (1024.0, 1), (1025.0, 2), (9216.0, 2), (9217.0, 3)]
)
def test_a_missed_annotation_has_its_area_range(area: float, area_range: int) -> None:
    frame = random_frame(np.random.default_rng(1), 1, detections=0)
    annotation = Annotation(category=CATEGORIES[0], bbox=(0, 0, 10, 10), area=area)
    truth = FrameAnnotated(frame_id=frame.frame_id, annotations=(annotation,))
    match = frame_match(frame.predictions, truth)
    ((missed,),) = missed_annotations(match, truth, [0.5])
    assert (missed.bbox, missed.area_range) == ((0, 0, 10, 10), area_range)
