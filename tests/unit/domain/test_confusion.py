"""Which categories are taken for which."""

from dataclasses import replace

import numpy as np
import pytest

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.contracts.identity import Category, DetectorId, FrameId
from services.contracts.matches import CategoryMatch
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.confusion import (
    ConfusionPool,
    Confusions,
    confusion_matrix,
)
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

SIGN, LIGHT = Category("sign"), Category("light")
HERE, THERE, NOWHERE = (0.0, 0.0, 9.0, 9.0), (50.0, 0.0, 9.0, 9.0), (0.0, 50.0, 9.0, 9.0)


def frame_of(
    found: list[tuple[Category, float, tuple[float, float, float, float]]],
    truths: list[tuple[Category, tuple[float, float, float, float]]],
) -> oracle.Frame:
    detections = tuple(Detection(category=c, score=s, bbox=box) for c, s, box in found)
    annotations = tuple(Annotation(category=c, bbox=box) for c, box in truths)
    return oracle.Frame(
        PredictionsMade(frame_id=FrameId("f"), detector="d", version="1", detections=detections),
        FrameAnnotated(frame_id=FrameId("f"), annotations=annotations),
    )


def test_every_detection_counts_where_it_lies_and_every_object_that_was_not_found() -> None:
    frame = frame_of(
        [(SIGN, 0.9, HERE), (SIGN, 0.8, THERE), (SIGN, 0.7, NOWHERE), (LIGHT, 0.1, THERE)],
        [(SIGN, HERE), (LIGHT, THERE)],
    )
    state = MatchState(OperatingScores(0.5))
    state.add(oracle.matched(frame))
    figures = state.of(DetectorId("d@1"), Subset.ALL)
    confusions = oracle.confused(frame)
    operating = {category: part.operating for category, part in figures.items()}
    matrix = confusion_matrix(operating, confusions)
    assert matrix.categories == (LIGHT, SIGN)
    # The light was detected as a sign; its own detection is below the operating score.
    assert matrix.counts.tolist() == [[0, 1, 1], [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_holds_the_latest_confusions_of_every_frame(seed: int) -> None:
    frames, pool = oracle.random_frames(seed, 15), ConfusionPool(OperatingScores(0.5))
    for number, frame in enumerate(frames):
        for match in oracle.matched(frame):
            pool.put(match)
        # Half of the frames are put again, shortlisted, without detections of one category.
        if number % 2:
            for match in oracle.matched(frame, revision=2, shortlisted=True):
                gone = match.category == "sign"
                pool.put(replace(match, **vars(CategoryMatch())) if gone else match)
    by_parity = [Confusions(), Confusions()]
    for number, frame in enumerate(frames):
        by_parity[number % 2] += oracle.confused(frame)
    of_signs = [pair for pair in by_parity[1] if pair[1] == "sign"]
    for pair in of_signs:
        del by_parity[1][pair]
    assert pool.on(Subset.REST) == by_parity[0]
    assert pool.on(Subset.S) == by_parity[1]
    assert pool.on(Subset.ALL) == by_parity[0] + by_parity[1]
    assert not pool.on(Subset.R)


@pytest.mark.parametrize("seed", range(8))
def test_a_column_counts_each_shown_detection_once(seed: int) -> None:
    frames = oracle.random_frames(seed, 15)
    state, confusions = MatchState(OperatingScores(0.5)), Confusions()
    for frame in frames:
        state.add(oracle.matched(frame))
        confusions += oracle.confused(frame)
    figures = state.of(DetectorId("d@1"), Subset.ALL)
    operating = {category: part.operating for category, part in figures.items()}
    matrix = confusion_matrix(operating, confusions)
    shown = [point.true_positives + point.false_positives for point in operating.values()]
    np.testing.assert_array_equal(matrix.counts.sum(0)[:-1], shown)
    np.testing.assert_array_equal(
        np.diag(matrix.counts)[:-1] + matrix.counts[:-1, -1],
        [part.ground_truths for part in figures.values()],
    )
    assert matrix.counts.min() >= 0
