import numpy as np
import pytest

from services.domain.shortlists.strategies import (
    STRATEGIES,
    CategoryStats,
    costliest_errors,
    costs_by_score,
    worst_frames,
)


def stats(*hits: int, ground_truths: int | None = None) -> CategoryStats:
    """Detections with scores .9, .8, … of which 1 is right and 0 is not, at one threshold."""
    scores = np.array([0.9 - 0.1 * rank for rank in range(len(hits))])
    matched = np.array(hits, np.bool_).reshape(-1, 1)
    return CategoryStats(scores, matched, sum(hits) if ground_truths is None else ground_truths)


def test_an_error_costs_what_the_true_positives_below_it_lose() -> None:
    # One true positive at rank 1, two at rank 3: 1/1 and 2/9 lost by an error above both.
    costs = costs_by_score(np.array([0.95, 0.85, 0.1]), stats(1, 0, 1))
    assert costs == pytest.approx([(1 + 2 / 9) / 4, (2 / 9) / 4, 0])


def test_an_error_in_a_rare_category_costs_more() -> None:
    score, one = np.array([0.95]), np.array([1.0])
    rare, common = stats(1, ground_truths=2), stats(1, ground_truths=50)
    for strategy in STRATEGIES.values():
        assert strategy(one, score, rare)[0] > strategy(one, score, common)[0]


def test_of_errors_that_are_as_probable_the_one_that_costs_more_comes_first() -> None:
    wrong, scores = np.array([0.5, 0.5]), np.array([0.95, 0.85])
    for strategy in STRATEGIES.values():
        high, low = strategy(wrong, scores, stats(1, 0, 1))
        assert high > low


def test_cost_decides_less_among_the_worst_frames_than_among_the_costliest_errors() -> None:
    # It costs 5.5 times as much, and is a third as probable.
    wrong, scores = np.array([0.3, 0.9]), np.array([0.95, 0.85])
    costlier, surer = costliest_errors(wrong, scores, stats(1, 0, 1))
    assert costlier > surer
    costlier, surer = worst_frames(wrong, scores, stats(1, 0, 1))
    assert costlier < surer


def test_where_nothing_is_known_to_be_right_the_worst_frames_are_the_probable_errors() -> None:
    wrong, scores = np.array([0.2, 0.9]), np.array([0.95, 0.1])
    less, more = worst_frames(wrong, scores, stats(0, 0, ground_truths=4))
    assert more / less == pytest.approx(4.5)


def test_a_category_without_detections_or_truths_costs_nothing_to_err_in() -> None:
    empty = CategoryStats(np.empty(0), np.empty((0, 10), np.bool_), 0)
    assert costs_by_score(np.array([0.5]), empty) == pytest.approx([0])
