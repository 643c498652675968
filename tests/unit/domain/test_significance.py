import math
import random
import time

import numpy as np
import pytest
from scipy import stats

from services.domain.statistics.significance import (
    MAX_EXACT_TRIALS,
    NORMAL_975,
    chi_squared_p_value,
    holm_rejected,
    kolmogorov_smirnov_p_value,
    normal_p_value,
    sign_test_p_value,
    student_975,
    wilson_upper_bound,
)


@pytest.mark.parametrize("z", [-8.0, -1.5, 0.0, 0.3, NORMAL_975, 6.0])
def test_the_normal_p_value_is_scipys(z: float) -> None:
    assert normal_p_value(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12)


@pytest.mark.parametrize("size", [100, 1000, 10_000])
@pytest.mark.parametrize("distance", [0.0, 0.005, 0.02, 0.05, 0.1, 0.3])
def test_the_kolmogorov_smirnov_p_value_is_near_scipys(distance: float, size: int) -> None:
    # SciPy's is the exact distribution of the one-sample test with as many effective observations.
    expected = stats.kstwo.sf(distance, size // 2)
    assert kolmogorov_smirnov_p_value(distance, (size, size)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("freedom", [1, 2, 5, 20, 79])
@pytest.mark.parametrize("share", [1e-6, 0.001, 0.01, 0.05, 0.3])
def test_the_chi_squared_p_value_is_near_scipys(share: float, freedom: int) -> None:
    statistic = float(stats.chi2.isf(share, freedom))
    assert chi_squared_p_value(statistic, freedom) == pytest.approx(share, abs=0.003)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 10), (3, 10), (10, 10), (999, 1000)])
def test_the_wilson_bound_is_scipys(successes: int, trials: int) -> None:
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_upper_bound(successes, trials) == pytest.approx(interval.high, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_what_its_adjusted_p_values_reject(seed: int) -> None:
    rng = random.Random(seed)
    p_values = [rng.choice([0.0001, 0.004, 0.01, 0.04, 0.5]) for _ in range(rng.randrange(1, 9))]
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(steps)
    assert holm_rejected(p_values, 0.05) == list(adjusted <= 0.05)


def test_holm_of_nothing_rejects_nothing() -> None:
    assert holm_rejected([], 0.05) == []


@pytest.mark.parametrize(("successes", "trials"), [(0, 6), (3, 6), (5, 7), (1, 5), (400, 1000)])
def test_the_sign_test_is_scipys_exact_binomial_test(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).pvalue
    assert sign_test_p_value(successes, trials) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("trials", [1, 2, 9, 10, 301])
def test_the_sign_test_sums_binomial_coefficients(trials: int) -> None:
    for successes in range(trials + 1):
        extreme = max(successes, trials - successes)
        ways = sum(math.comb(trials, k) for k in range(extreme, trials + 1))
        assert sign_test_p_value(successes, trials) == min(1.0, 2 * ways / 2**trials)


@pytest.mark.parametrize("trials", [MAX_EXACT_TRIALS, MAX_EXACT_TRIALS + 1, 100_000, 1_000_000])
@pytest.mark.parametrize("deviations", [0, 0.5, 2, 6, 30])
def test_the_sign_test_of_many_trials_is_scipys_and_takes_no_second(
    trials: int, deviations: float
) -> None:
    successes = trials // 2 - round(deviations * trials**0.5 / 2)
    start = time.process_time()
    found = sign_test_p_value(successes, trials)
    assert time.process_time() - start < 1
    # SciPy's binomtest looks for the other tail, and takes a second.
    expected = min(1.0, 2 * stats.binom.cdf(successes, trials, 0.5))
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("freedom", [7, 9, 12, 30, 200])
def test_students_quantile_is_scipys(freedom: int) -> None:
    assert student_975(freedom) == pytest.approx(float(stats.t.ppf(0.975, freedom)), abs=0.003)
