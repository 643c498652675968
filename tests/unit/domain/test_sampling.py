"""Frames drawn with known probabilities, and what they say of all frames."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from services.domain.arrays import FloatArray
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.operating_counts import operating_counts
from services.domain.metrics.sampled_figures import (
    AnnotatedFrames,
    ShownTotals,
    represented_map,
    sampled_figures,
    size_of,
)
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Sample
from services.domain.statistics.sampling import (
    calibrated,
    fixed_sample,
    inclusion_probabilities,
    permanent_number,
    perturbed_weights,
    weight_draws,
    weights_of,
)
from tests.unit.domain.test_resampling import ONE, state_of, survey

HALF = [0.5] * 3
"""The operating scores of the categories."""


@dataclass(frozen=True)
class Haystack:
    samples: list[Sample]
    frames: int
    truth: tuple[float, float, float]
    """MAP, precision and recall of all frames."""


@pytest.fixture(scope="module")
def haystack() -> Haystack:
    state = state_of(survey(np.random.default_rng(1), 300))
    samples = list(state.snapshot().samples.values())
    right, shown, truths = operating_counts(samples, HALF, 300).sum(axis=0)
    ap = twelve(state.of(ONE, Subset.ALL).values())["AP"]
    assert ap is not None
    return Haystack(samples, 300, (ap, right / shown, right / truths))


def test_a_units_number_is_its_own_in_each_campaign_and_uniform() -> None:
    numbers = [permanent_number("june", f"frame-{k}") for k in range(2000)]
    assert numbers == [permanent_number("june", f"frame-{k}") for k in range(2000)]
    assert permanent_number("july", "frame-0") != numbers[0]
    assert permanent_number("a", "bc") != permanent_number("ab", "c")
    assert 0 <= min(numbers) < max(numbers) < 1
    counts, _ = np.histogram(numbers, 10, (0, 1))
    assert np.abs(counts - 200).max() < 60


def test_a_fixed_sample_does_not_depend_on_the_order_of_units_and_is_of_all_of_them() -> None:
    units = [f"{k:04d}" for k in range(1000)]
    found = fixed_sample("misses", units, 100)
    assert found == sorted(set(found)) == fixed_sample("misses", reversed(units), 100)
    assert len(found) == 100
    assert abs(np.mean([int(unit) for unit in found]) - 499.5) < 60
    assert fixed_sample("misses", units[:7], 100) == units[:7]


@pytest.mark.parametrize("expected", [1, 30, 99, 100, 500])
def test_probabilities_sum_to_the_expected_number_and_grow_with_size(expected: int) -> None:
    sizes = np.random.default_rng(0).pareto(1.0, 100)
    found = inclusion_probabilities(sizes, expected)
    assert found.sum() == pytest.approx(min(expected, 100), rel=1e-6)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(sizes)]) >= -1e-12).all()
    # No weight exceeds twice that of an equal draw.
    assert (found >= min(1.0, expected / 200) - 1e-12).all()


def test_units_of_no_size_are_drawn_alike() -> None:
    assert inclusion_probabilities(np.zeros(10), 4) == pytest.approx(0.4)


def test_weights_stand_for_all_units() -> None:
    probabilities = np.array([0.1, 0.5, 0.2])
    weights = weights_of(probabilities, 30)
    assert weights.sum() == pytest.approx(30)
    assert weights * probabilities == pytest.approx((weights * probabilities)[0])
    draws = weight_draws(probabilities, 30, 50, 1)
    assert draws.shape == (50, 3)
    assert (draws > 0).all()
    assert draws.sum(axis=1) == pytest.approx(30)
    certain = weight_draws(np.ones(5), 5, 3, 1)
    assert certain == pytest.approx(1)


@pytest.mark.parametrize("units", [40, None])
def test_changes_and_draws_of_a_total_have_its_variance(units: int | None) -> None:
    """Horvitz and Thompson's where the number of units is not known, else that of residuals."""
    rng = np.random.default_rng(3)
    probabilities, values = rng.uniform(0.2, 0.9, 400), rng.normal(5, 1, 400)
    total = float(weights_of(probabilities, units) @ values)
    for groups, close in ((400, 0.03), (100, 0.4)):
        changed = perturbed_weights(probabilities, units, groups)
        assert changed.shape == (groups, 400)
        weights = weights_of(probabilities, units)
        centred = values - total / weights.sum() * (units is not None)
        variance = float(((1 - probabilities) * (weights * centred) ** 2).sum())
        assert ((changed @ values - total) ** 2).sum() == pytest.approx(variance, rel=close)
    draws = weight_draws(probabilities, units, 1000, 1) @ values
    assert draws.mean() == pytest.approx(total, rel=0.01)
    assert draws.var() == pytest.approx(variance, rel=0.15)


def test_units_that_are_certain_do_not_change() -> None:
    assert perturbed_weights(np.ones(5), 5, 3) == pytest.approx(1)


def test_calibrated_weights_add_up_to_what_is_known() -> None:
    rng = np.random.default_rng(2)
    known = np.column_stack([np.ones(50), rng.poisson(3, 50), rng.uniform(0, 2, 50)])
    weights, totals = rng.uniform(3, 5, (4, 50)), np.array([210.0, 600.0, 190.0])
    changed = calibrated(weights, known, totals)
    assert changed @ known == pytest.approx(np.tile(totals, (4, 1)))
    assert calibrated(weights[:1], known, weights[0] @ known) == pytest.approx(weights[:1])
    twice = calibrated(weights, known[:, [0, 1, 1]], totals[[0, 1, 1]])
    assert twice == pytest.approx(calibrated(weights, known[:, :2], totals[:2]))
    assert (calibrated(weights, known, 0 * totals) > 0).all()


def test_a_frame_with_unsure_detections_is_larger() -> None:
    assert size_of([]) == 0.5
    assert size_of([0.6, 0.5]) > size_of([0.6]) > size_of([0.99]) > 0.5


def test_equal_weights_give_the_figures_themselves(haystack: Haystack) -> None:
    for weights in (np.ones(300), np.full(300, 7.5)):
        found = represented_map(haystack.samples, weights)
        assert found == pytest.approx(haystack.truth[0], abs=1e-9)


@pytest.mark.parametrize("weight", [10, 1000, 100_000, 10_000_000])
def test_chosen_frames_count_beside_drawn_ones_of_any_weight(
    haystack: Haystack, weight: float
) -> None:
    """Of a category that is on chosen frames alone, AP does not depend on the others' weight."""
    chosen = np.arange(300) < 100
    alone = [sample.on(chosen) for sample in haystack.samples]
    found = represented_map(alone, np.where(chosen, 1.0, weight))
    assert found == pytest.approx(represented_map(alone, chosen.astype(np.float64)), abs=1e-9)


def test_weights_beyond_64_bits_do_not_overflow(haystack: Haystack) -> None:
    drawn = np.arange(300) >= 100
    found = represented_map(haystack.samples, np.where(drawn, 1e300, 1.0))
    alone = represented_map(haystack.samples, drawn.astype(np.float64))
    assert found == pytest.approx(alone, abs=1e-9)


def test_a_category_on_chosen_frames_alone_keeps_map_defined(haystack: Haystack) -> None:
    probability: FloatArray = np.zeros(300)
    probability[:50], probability[50:130] = 1.0, 80 / 3_000_000
    samples = [haystack.samples[0].on(np.arange(300) < 40), *haystack.samples[1:]]
    found = sampled_figures(AnnotatedFrames(samples, HALF, probability, 3_000_000))
    assert found is not None
    assert (found.chosen, found.drawn, found.categories) == (50, 80, 3)
    assert found.map is not None
    assert 0 < found.map.value < 1


def test_estimates_of_chosen_and_drawn_frames_are_of_the_whole_haystack(
    haystack: Haystack,
) -> None:
    """The naive figures of chosen frames are far off; 95% intervals cover what they should."""
    rng = np.random.default_rng(5)
    counts = operating_counts(haystack.samples, HALF, 300)
    chosen = np.argsort(counts[:, 0] - counts[:, 1], kind="stable")[:60]
    right, shown, _ = counts[chosen].sum(axis=0)
    assert right / shown < haystack.truth[1] - 0.15

    probability = np.full(300, 110 / 240)
    probability[chosen] = 1
    covered, errors = [], []
    for _ in range(60):
        known = np.where(rng.random(300) < probability, probability, 0.0)
        found = sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, 300))
        assert found is not None
        assert (found.chosen, found.categories) == (60, 3)
        figures = (found.map, found.precision, found.recall)
        for figure, true in zip(figures, haystack.truth, strict=True):
            assert figure is not None
            assert figure.bounds is not None
            covered.append(figure.bounds[0] <= true <= figure.bounds[1])
            errors.append(figure.value - true)
    assert 0.9 < np.mean(covered) < 1
    assert abs(np.mean(errors)) < 0.01


def test_what_all_frames_show_narrows_the_interval_of_precision(haystack: Haystack) -> None:
    """Here scores tell right from wrong, so those of a frame predict how many are right."""
    rng = np.random.default_rng(6)
    telling = [
        replace(s, score=(0.6 + 0.3 * (s.positive & 1) + rng.normal(0, 0.1, s.size)).clip(0.5, 1))
        for s in haystack.samples
    ]
    right, count, _ = operating_counts(telling, HALF, 300).sum(axis=0)
    scores = np.concatenate([sample.score for sample in telling])
    totals = ShownTotals(scores.size, float(scores.sum()))
    covered, widths = [], []
    for _ in range(40):
        known = np.where(rng.random(300) < 0.3, 0.3, 0.0)
        plain, informed = (
            sampled_figures(AnnotatedFrames(telling, HALF, known, 300, shown))
            for shown in (None, totals)
        )
        assert plain is not None
        assert informed is not None
        bounds = [found.precision.bounds for found in (plain, informed) if found.precision]
        assert bounds[0] is not None
        assert bounds[1] is not None
        covered.append(bounds[1][0] <= right / count <= bounds[1][1])
        widths.append([high - low for low, high in (bounds[0], bounds[1])])
    plain_width, informed_width = np.mean(widths, axis=0)
    assert informed_width < 0.8 * plain_width
    assert np.mean(covered) > 0.85


def test_the_estimate_is_the_weighted_figure_of_the_annotated_frames(haystack: Haystack) -> None:
    known = np.where(np.arange(300) < 60, 1.0, 0.4 * (np.arange(300) % 2))
    weights = np.divide(1.0, known, out=np.zeros(300), where=known > 0)
    right, shown, truths = weights @ operating_counts(haystack.samples, HALF, 300)
    found = sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, None))
    assert found is not None
    assert found.precision is not None
    assert found.recall is not None
    assert found.precision.value == pytest.approx(right / shown, abs=0.006)
    assert found.recall.value == pytest.approx(right / truths, abs=0.006)


def test_totals_without_what_chosen_frames_show_are_not_used(haystack: Haystack) -> None:
    known = np.where(np.arange(300) < 60, 1.0, 0.4 * (np.arange(300) < 150))
    plain, informed = (
        sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, 300, shown))
        for shown in (None, ShownTotals(1, 0.5))
    )
    assert informed == plain


def test_with_few_drawn_frames_there_is_no_estimate(haystack: Haystack) -> None:
    known: FloatArray = np.zeros(300)
    known[:29] = 0.1
    known[30:90] = 1.0
    assert sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, 300)) is None


def test_there_is_no_interval_where_none_would_be_honest(haystack: Haystack) -> None:
    known: FloatArray = np.zeros(300)
    known[:79] = 0.2
    few = sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, 300))
    known[79] = 0.2
    enough = sampled_figures(AnnotatedFrames(haystack.samples, HALF, known, 300))
    assert few is not None
    assert enough is not None
    for found, has_bounds in ((few, False), (enough, True)):
        assert found.recall is not None
        assert (found.recall.bounds is not None) is has_bounds
        assert found.precision is not None
        assert found.precision.bounds is not None


def test_rare_categories_are_counted_and_left_out_of_map(haystack: Haystack) -> None:
    known: FloatArray = np.zeros(300)
    known[:40] = 0.2
    few = haystack.samples[0].on(np.arange(300) < 3)
    found = sampled_figures(AnnotatedFrames([few, haystack.samples[1]], HALF[:2], known, 300))
    assert found is not None
    assert (found.categories, found.rare_categories) == (1, int((few.truths > 0).any()))
    none = sampled_figures(AnnotatedFrames([few], HALF[:1], known, 300))
    assert none is not None
    assert none.map is None
