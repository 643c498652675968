"""The curves of a slice are those of a state that holds its frames only."""

import numpy as np
import pytest

from services.contracts.identity import DetectorId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.confusion import ConfusionPool, confusion_matrix
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")
RAIN = ("weather", "rain")


@pytest.mark.parametrize("seed", range(20))
def test_curves_counts_and_confusions_of_a_slice_are_those_of_its_frames_alone(seed: int) -> None:
    frames = oracle.random_frames(seed, 14)
    slice_ = frames[: 5 + seed % 5]
    every, alone = MatchState(OperatingScores(0.5)), MatchState(OperatingScores(0.5))
    pools = ConfusionPool(OperatingScores(0.5)), ConfusionPool(OperatingScores(0.5))
    for some, state, pool in zip((frames, slice_), (every, alone), pools, strict=True):
        matches = [match for frame in some for match in oracle.matched(frame)]
        state.add(matches)
        for match in matches:
            pool.put(match)
    ids = {frame.frame_id for frame in slice_}

    found = every.curves_on(DETECTOR, {RAIN: ids})[RAIN]

    expected = alone.score_curves(DETECTOR, Subset.ALL)
    assert found.curves.keys() == expected.keys()
    for category, curve in expected.items():
        own = found.curves[category]
        assert (own.truths, own.best) == (curve.truths, curve.best)
        for name in ("precision", "reached", "true_positives", "shown"):
            np.testing.assert_array_equal(getattr(own, name), getattr(curve, name))
    operating = {name: part.operating for name, part in alone.of(DETECTOR, Subset.ALL).items()}
    counted = confusion_matrix(dict(sorted(found.operating.items())), pools[0].among(ids))
    matrix = confusion_matrix(dict(sorted(operating.items())), pools[1].on(Subset.ALL))
    assert counted.categories == matrix.categories
    np.testing.assert_array_equal(counted.counts, matrix.counts)


def test_a_slice_without_matches_has_no_curves() -> None:
    state = MatchState(OperatingScores(0.5))
    state.add([match for frame in oracle.random_frames(1, 3) for match in oracle.matched(frame)])

    assert state.curves_on(DETECTOR, {RAIN: set()})[RAIN].curves == {}
