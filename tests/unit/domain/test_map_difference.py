"""Differences of mAP, and their standard errors compared with leaving out a frame at a time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from services.contracts.events import Detection, PredictionsMade
from services.contracts.identity import DetectorId
from services.domain.arrays import BoolArray
from services.domain.statistics.map_difference import map_difference, version_difference
from services.domain.statistics.resampling import Sample
from tests.unit.domain.oracle import Frame
from tests.unit.domain.test_resampling import ONE, state_of, survey

OTHER = DetectorId("e@1")
FRAMES = 120


def samples_of(detector: DetectorId) -> list[Sample]:
    rng = np.random.default_rng(7)
    better = survey(rng, FRAMES, slip=9)
    worse = survey(np.random.default_rng(7), FRAMES, detector="e", slip=11)
    snapshot = state_of(better, worse).snapshot()
    return [sample for (name, _), sample in sorted(snapshot.samples.items()) if name == detector]


def _as_annotated(frame: Frame) -> PredictionsMade:
    found = [
        Detection(category=item.category, score=0.9, bbox=item.bbox)
        for item in frame.truth.annotations
    ]
    return frame.predictions.model_copy(update={"detections": tuple(found)})


def without(frame: int) -> BoolArray:
    return np.asarray(np.arange(FRAMES) != frame)


def deviation_of(difference: float, p_value: float) -> float:
    return float(abs(difference) / stats.norm.isf(p_value / 2))


def test_versions_are_compared_frame_by_frame() -> None:
    pairs = list(zip(samples_of(ONE), samples_of(OTHER), strict=True))
    difference, p_value = version_difference(pairs, np.ones(FRAMES, np.bool_))
    left_out = [version_difference(pairs, without(frame))[0] for frame in range(FRAMES)]
    assert difference > 0.04
    jackknife = np.sqrt(np.square(np.array(left_out) - difference).sum())
    assert deviation_of(difference, p_value) == pytest.approx(jackknife, rel=0.2)


def test_a_difference_that_no_frame_moves_is_significant() -> None:
    frames = survey(np.random.default_rng(3), 80)
    right = [replace(frame, predictions=_as_annotated(frame)) for frame in frames[:40]]
    none = [
        replace(frame, predictions=frame.predictions.model_copy(update={"detections": ()}))
        for frame in frames[40:]
    ]
    snapshot = state_of([*right, *none]).snapshot()
    own = np.arange(80) < 40
    difference, p_value = map_difference([*snapshot.samples.values()], own)
    assert difference == pytest.approx(1.0)
    assert p_value < 1e-9


def test_frames_are_compared_with_all_others() -> None:
    samples = samples_of(ONE)
    own = np.arange(FRAMES) % 3 == 0
    difference, p_value = map_difference(samples, own)
    assert 0 < p_value < 1
    left_out = []
    for frame in range(FRAMES):
        kept = [sample.on(without(frame)) for sample in samples]
        left_out.append(map_difference(kept, own)[0])
    jackknife = np.sqrt(np.square(np.array(left_out) - difference).sum())
    assert deviation_of(difference, p_value) == pytest.approx(jackknife, rel=0.2)
