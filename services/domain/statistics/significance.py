"""P-values and bounds of the classical tests that reports use.

SciPy has them all, and would add 110 MB to every image for these functions; it is the oracle
of their tests.
"""

import math
from collections.abc import Sequence
from typing import Final

NORMAL_975: Final = 1.959963984540054
"""The 97.5% quantile of the standard normal: 95% of it lies within plus and minus this."""
MAX_EXACT_TRIALS: Final = 10_000
"""Trials up to which the sign test counts outcomes in integers, in some 10 ms."""
_NEGLIGIBLE: Final = 1e-17
_TERMS: Final = 100
_CERTAIN: Final = 0.2
"""Below this, Kolmogorov's p-value is 1 to ten digits, and its series converges slowly."""


def normal_p_value(z: float) -> float:
    """The two-sided p-value of a standard normal statistic."""
    return math.erfc(abs(z) / math.sqrt(2))


def kolmogorov_smirnov_p_value(distance: float, sizes: tuple[int, int]) -> float:
    """The p-value of the largest distance of two empirical distributions.

    Parameters
    ----------
    sizes : independent observations in each, above 0

    References
    ----------
    Kolmogorov (1933), the limit's series; Stephens (1970), its correction for small samples
    """
    root = math.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    x = (root + 0.12 + 0.11 / root) * distance
    if x <= _CERTAIN:
        return 1.0
    terms = [(-1.0) ** (j - 1) * math.exp(-2 * (j * x) ** 2) for j in range(1, _TERMS + 1)]
    return min(1.0, max(0.0, 2 * sum(terms)))


def chi_squared_p_value(statistic: float, freedom: int) -> float:
    """The probability that a chi-squared variable exceeds the statistic, to .003.

    Parameters
    ----------
    freedom : degrees of freedom, above 0

    References
    ----------
    Wilson and Hilferty (1931): the cube root is nearly normal
    """
    spread = 2 / (9 * freedom)
    z = ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2)) / 2


def holm_rejected(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses are rejected at a family-wise error rate of `level`.

    References
    ----------
    Holm (1979), the sequentially rejective test
    """
    rejected = [False] * len(p_values)
    for k, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] > level / (len(p_values) - k):
            break
        rejected[i] = True
    return rejected


def sign_test_p_value(successes: int, trials: int) -> float:
    """The two-sided p-value of equally likely successes and failures.

    Of paired outcomes, those that differ are the trials (McNemar's test, exact). Up to
    MAX_EXACT_TRIALS it is exact; beyond, its relative error is below 1e-8 up to a million trials.
    """
    extreme = max(successes, trials - successes)
    if trials <= MAX_EXACT_TRIALS:
        return min(1.0, float(2 * _ways(extreme, trials) / 2**trials))
    log_first = math.lgamma(trials + 1) - math.lgamma(extreme + 1)
    log_first -= math.lgamma(trials - extreme + 1) + trials * math.log(2)
    return min(1.0, 2 * math.exp(log_first) * _over_first(extreme, trials))


def _ways(least: int, trials: int) -> int:
    """The number of outcomes with so many successes or more."""
    ways, total = 1, 0
    for k in range(trials, least - 1, -1):
        total += ways
        ways = ways * k // (trials - k + 1)
    return total


def _over_first(least: int, trials: int) -> float:
    """The number of outcomes with so many successes or more, over those with just as many."""
    total, term = 0.0, 1.0
    for k in range(least, trials + 1):
        total += term
        term *= (trials - k) / (k + 1)
        if term < _NEGLIGIBLE * total:
            break
    return total


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """The 95% interval of a share.

    Parameters
    ----------
    trials : above 0; independent ones, which may be fewer than were counted

    References
    ----------
    Wilson (1927), the score interval
    """
    spread = NORMAL_975**2 / trials
    middle = share + spread / 2
    half = NORMAL_975 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def wilson_upper_bound(successes: int, trials: int) -> float:
    """The upper end of the 95% interval of a share.

    Parameters
    ----------
    trials : above 0
    """
    return wilson_interval(successes / trials, trials)[1]


def student_975(freedom: float) -> float:
    """The 97.5% quantile of Student's t, to about .003 from 7 degrees of freedom on.

    References
    ----------
    Fisher and Cornish (1960), the expansion about the normal quantile; Abramowitz and Stegun 26.7.5
    """
    z = NORMAL_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))
