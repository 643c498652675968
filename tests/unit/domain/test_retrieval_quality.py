"""Measures against plain loops, and the report's own against what the words mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.statistics.collapse import collapse_of
from services.domain.statistics.retrieval_quality import (
    exact_quality,
    exact_ranking,
    judged,
    retrieval_quality,
    whole_map,
)


def test_recall_counts_what_was_not_retrieved_and_precision_what_was_asked_for() -> None:
    relevant = np.array([[1, 0, 1, 1, 0, 0, 1, 0, 0, 0]], bool)

    found = retrieval_quality(relevant, np.array([20]))

    assert found is not None
    assert found.precision == {1: 1.0, 4: 0.75, 10: 0.4}
    assert found.recall == {4: 3 / 20, 10: 4 / 20}
    assert found.mean_average_precision == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 7) / 10)


def test_the_reports_precision_cannot_exceed_40_percent_and_its_recall_forgets_the_rest() -> None:
    perfect = retrieval_quality(np.ones((1, 10), bool), np.array([1000]))

    assert perfect is not None
    assert perfect.precision[4] == 1
    assert perfect.report_precision == pytest.approx(0.4)
    assert perfect.recall[4] == pytest.approx(0.004)
    assert perfect.report_recall == pytest.approx(0.4)


def test_queries_without_anything_relevant_are_not_counted() -> None:
    relevant = np.array([[True, False], [False, False]])

    found = retrieval_quality(relevant, np.array([1, 0]))

    assert found is not None
    assert (found.queries, found.precision[1]) == (1, 1.0)
    assert retrieval_quality(relevant, np.array([0, 0])) is None


def test_rankings_that_are_shorter_than_k_are_judged_by_k() -> None:
    found = retrieval_quality(np.array([[True, True]]), np.array([2]))

    assert found is not None
    assert found.precision == {1: 1.0, 4: 0.5, 10: 0.2}
    assert found.mean_average_precision == 1


@given(st.integers(0, 1000))
def test_the_exact_ranking_equals_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 12))
    vectors = rng.standard_normal((count, 3)).astype(np.float32)
    labels, apart = rng.integers(0, 3, count), rng.integers(0, 4, count)

    ranked = exact_ranking(vectors, apart, count)
    relevant, total = judged(ranked, labels, apart)
    maps = whole_map(vectors, np.arange(count), {"all": labels}, apart)

    averages = []
    for query in range(count):
        others = [number for number in range(count) if apart[number] != apart[query]]
        order = sorted(others, key=lambda other: -(vectors[other] @ vectors[query]))
        assert [place for place in ranked[query] if place >= 0] == order
        hits = [labels[number] == labels[query] for number in order]
        assert total[query] == sum(hits)
        assert relevant[query].sum() == sum(hits)
        if any(hits):
            places = [place for place, hit in enumerate(hits, start=1) if hit]
            averages.append(np.mean([n / place for n, place in enumerate(places, start=1)]))
    assert maps["all"] == pytest.approx(np.mean(averages) if averages else 0)
    quality = exact_quality(vectors, labels, apart, count)
    assert (quality is None) == (not averages)
    if quality is not None:
        assert quality.mean_average_precision == pytest.approx(np.mean(averages))


def test_collapsed_vectors_are_told_from_sound_ones() -> None:
    rng = np.random.default_rng(0)
    sound = rng.standard_normal((50, 8)).astype(np.float32)
    sound /= np.linalg.norm(sound, axis=1, keepdims=True)

    assert collapse_of(sound) is None
    assert "60% of the vectors are zero" in str(
        collapse_of(np.where(np.arange(50)[:, None] < 30, 0, sound).astype(np.float32))
    )
    assert "the same" in str(collapse_of(np.repeat(sound[:1], 50, axis=0)))
    assert "not numbers" in str(collapse_of(np.full((3, 2), np.nan, np.float32)))
    assert collapse_of(sound[:1]) is None
