"""Rankings of regions whose truth is known: by hand, and beside pair counting."""

import tracemalloc

import numpy as np
import pytest

from services.domain.statistics.ranking_quality import (
    REPLICATES,
    RankedRegions,
    RankingMeasure,
    interval,
    replicates,
)


def question(
    evidence: list[float], wrong: list[int], same: list[int] | None = None
) -> RankedRegions:
    return RankedRegions(
        np.array(evidence, np.float64),
        np.array(wrong, np.bool_),
        np.array(same or wrong, np.bool_),
        np.arange(len(evidence)),
    )


def value(measure: RankingMeasure, *questions: RankedRegions) -> float:
    frames = max(int(question.frame.max()) for question in questions) + 1
    return float(replicates(questions, measure, frames)[0])


def test_a_ranking_with_all_failures_first_is_perfect() -> None:
    best = question([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])

    assert [value(measure, best) for measure in RankingMeasure] == [1, 1, 1]


def test_a_ranking_upside_down_is_worth_nothing() -> None:
    worst = question([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])

    assert [value(measure, worst) for measure in RankingMeasure] == [0, 0, 0]


def test_the_first_r_are_as_many_as_fail_in_the_mode() -> None:
    # Two fail in the mode; of the first two one does, and both are wrong.
    mixed = question([0.9, 0.8, 0.7, 0.1], [1, 1, 1, 0], [1, 0, 1, 0])

    assert value(RankingMeasure.SAME_MODE, mixed) == 0.5
    assert value(RankingMeasure.YIELD, mixed) == 1


def test_questions_weigh_by_what_they_ask() -> None:
    right, wrong = question([0.9, 0.1], [1, 0]), question([0.9, 0.5, 0.1], [0, 0, 1])

    # One pair of one, none of two.
    assert value(RankingMeasure.AUC, right, wrong) == pytest.approx(1 / 3)


def test_nothing_is_said_where_nothing_was_rejected() -> None:
    only_wrong = question([0.9, 0.1], [1, 1])

    assert interval(replicates([only_wrong], RankingMeasure.AUC, 2)) is None


@pytest.mark.parametrize("seed", range(20))
def test_auc_under_weights_is_that_of_repeated_regions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = rng.integers(0, 6, 30) / 10  # with ties
    wrong = rng.random(30) < 0.4
    asked = question(evidence.tolist(), wrong.tolist())

    drawn = replicates([asked], RankingMeasure.AUC, 30)

    weights = np.random.default_rng(95).poisson(1, (REPLICATES, 30))
    for number in (0, 1):
        repeated = np.repeat(np.arange(30), weights[number])
        positive = evidence[repeated[wrong[repeated]]]
        negative = evidence[repeated[~wrong[repeated]]]
        over = np.sign(positive[:, None] - negative[None, :])
        assert drawn[1 + number] == pytest.approx((over.mean() + 1) / 2)


def test_the_interval_of_a_known_share_has_its_usual_width() -> None:
    rng = np.random.default_rng(5)
    same = rng.random(2000) < 0.3
    # Any ranking at random puts as many into the first R as chance does.
    asked = question(rng.random(2000).tolist(), [1] * 2000, same.tolist())

    bounds = interval(replicates([asked], RankingMeasure.SAME_MODE, 2000))

    assert bounds is not None
    assert bounds.low < 0.3 < bounds.high
    assert 0.03 < bounds.high - bounds.low < 0.12


@pytest.mark.parametrize("measure", RankingMeasure)
def test_the_memory_of_replicates_does_not_grow_with_the_regions(measure: RankingMeasure) -> None:
    rng = np.random.default_rng(6)
    wrong = rng.random(2500) < 0.5
    asked = question(rng.random(2500).tolist(), wrong.tolist())
    tracemalloc.start()
    try:
        drawn = replicates([asked], measure, 2500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.isfinite(drawn).all()
    assert peak < 15_000_000  # the weights of all replicates alone take 20 MB
