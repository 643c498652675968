"""Precision, recall and F1 against the score, from the state that gives AP."""

import numpy as np
import pytest

from services.contracts.events import Split
from services.contracts.identity import DetectorId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import OperatingPoint
from services.domain.metrics.score_curves import (
    SCORES,
    ScoreCurve,
    best_of,
    joint_curve,
)
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")


@pytest.mark.parametrize("seed", range(12))
def test_curves_are_those_that_pycocotools_accumulates(seed: int) -> None:
    frames = oracle.random_frames(seed, 20)
    state = MatchState(OperatingScores(0.5))
    for frame in frames:
        state.add(oracle.matched(frame))
    expected = oracle.coco_eval(frames).eval
    curves = state.score_curves(DETECTOR, Subset.ALL)
    for k, category in enumerate(oracle.CATEGORIES):
        curve = curves.get(category)
        of_coco = expected["precision"][0, :, k, 0, 2]
        if curve is None or not curve.truths:
            assert (of_coco == -1).all()
            continue
        np.testing.assert_allclose(curve.precision, of_coco, atol=1e-12)
        np.testing.assert_array_equal(curve.reached, expected["scores"][0, :, k, 0, 2])


@pytest.mark.parametrize("seed", range(12))
def test_counts_and_the_best_score_are_those_of_a_plain_pass(seed: int) -> None:
    frames = oracle.random_frames(seed, 20)
    state = MatchState(OperatingScores(0.5))
    matches = []
    for number, frame in enumerate(frames):
        split = Split.REFERENCE if number % 3 else Split.HAYSTACK
        matches += oracle.matched(frame, split=split)
    state.add(matches)
    for category, curve in state.score_curves(DETECTOR, Subset.R).items():
        own = [m for m in matches if m.category == category and m.split is Split.REFERENCE]
        rows = [
            (score, matched & 1)
            for match in own
            for score, matched, ignored in zip(
                match.scores, match.matched, match.ignored, strict=True
            )
            if not ignored & 1
        ]
        truths = sum(match.ground_truths[0] for match in own)
        assert curve.truths == truths
        assert [int(n) for n in curve.shown] == [
            sum(score >= at for score, _ in rows) for at in SCORES
        ]
        assert [int(n) for n in curve.true_positives] == [
            sum(right for score, right in rows if score >= at) for at in SCORES
        ]
        points = [
            OperatingPoint.of(
                at,
                sum(right for score, right in rows if score >= at),
                sum(score >= at for score, _ in rows),
                truths,
            )
            for at in {score for score, _ in rows}
        ]
        best = best_of(points)
        assert curve.best == (best if best and best.true_positives else None)


def test_a_category_without_ground_truth_has_counts_and_no_curve() -> None:
    scores, states = np.array([0.75, 0.5]), np.array([1, 1], np.uint8)
    curve = ScoreCurve.of(scores, states, 0)
    assert np.isnan(curve.precision).all()
    assert (curve.shown[75], curve.shown[76], curve.best) == (1, 0, None)


def test_a_category_without_true_positives_has_no_best_score() -> None:
    curve = ScoreCurve.of(np.array([0.75]), np.array([1], np.uint8), 3)
    assert curve.best is None
    assert (curve.precision == 0).all()


def test_categories_together_are_sums() -> None:
    one = ScoreCurve.of(np.array([0.75, 0.5]), np.array([2, 1], np.uint8), 1)
    two = ScoreCurve.of(np.array([0.25]), np.array([2], np.uint8), 2)
    joint = joint_curve([one, two])
    assert joint[50] == OperatingPoint.of(0.5, 1, 2, 3)
    assert best_of(joint) == OperatingPoint.of(0.25, 2, 3, 3)
    assert best_of(joint_curve([])) is None
