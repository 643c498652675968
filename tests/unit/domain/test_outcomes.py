"""The detections and objects behind each count of a confusion matrix and a curve."""

from itertools import product

import pytest

from services.contracts.events import Split
from services.contracts.identity import DetectorId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.confusion import Confusions, confusion_matrix
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.outcomes import Outcome, OutcomeFilter, selected
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")


@pytest.mark.parametrize("seed", range(4))
def test_as_many_are_selected_as_a_cell_of_the_confusion_matrix_counts(seed: int) -> None:
    frames = oracle.random_frames(seed, 12)
    matches = [match for frame in frames for match in oracle.matched(frame)]
    state, confusions = MatchState(OperatingScores(0.5)), Confusions()
    state.add(matches)
    for frame in frames:
        confusions += oracle.confused(frame)
    figures = state.of(DETECTOR, Subset.ALL)
    matrix = confusion_matrix({name: part.operating for name, part in figures.items()}, confusions)

    def count(wanted: OutcomeFilter) -> int:
        found = [selected(match, wanted) for match in matches]
        assert wanted.outcome is Outcome.MISSED or all(
            part.count == len(part.regions) for part in found
        )
        return sum(part.count for part in found)

    for (t, true), (p, predicted) in product(enumerate(matrix.categories), repeat=2):
        if t != p:
            cell = OutcomeFilter(Outcome.CONFUSED, 0.5, predicted, true)
            assert count(cell) == matrix.counts[t, p]
    for k, category in enumerate(matrix.categories):
        assert count(OutcomeFilter(Outcome.RIGHT, 0.5, category)) == matrix.counts[k, k]
        assert count(OutcomeFilter(Outcome.MISSED, 0.5, category)) == matrix.counts[k, -1]
        assert count(OutcomeFilter(Outcome.BACKGROUND, 0.5, category)) == matrix.counts[-1, k]


@pytest.mark.parametrize("score", [0.0, 0.3, 0.7])
def test_as_many_are_selected_as_a_curve_counts_at_each_score(score: float) -> None:
    matches = [m for frame in oracle.random_frames(5, 12) for m in oracle.matched(frame)]
    state = MatchState(OperatingScores(0.5))
    state.add(matches)
    curves = state.score_curves(DETECTOR, Subset.ALL)
    at = [curve.at(round(score * 100)) for curve in curves.values()]

    def count(outcome: Outcome) -> int:
        wanted = OutcomeFilter(outcome, at[0].score)
        return sum(selected(match, wanted).count for match in matches)

    assert count(Outcome.RIGHT) == sum(point.true_positives for point in at)
    assert count(Outcome.WRONG) == sum(point.false_positives for point in at)
    assert count(Outcome.MISSED) == sum(point.false_negatives for point in at)


def test_only_frames_of_the_subset_are_selected() -> None:
    (frame,) = oracle.random_frames(1, 1)
    matches = oracle.matched(frame, shortlisted=True)
    assert {match.split for match in matches} == {Split.HAYSTACK}

    def count(subset: Subset) -> int:
        wanted = OutcomeFilter(Outcome.WRONG, 0.0, subset=subset)
        return sum(selected(match, wanted).count for match in matches)

    assert count(Subset.S) == count(Subset.H) == count(Subset.ALL) > 0
    assert count(Subset.R) == count(Subset.REST) == 0
