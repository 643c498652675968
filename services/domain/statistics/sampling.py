"""Samples of units with known probabilities, and the weights by which they represent all units.

A unit is drawn if its permanent random number is below its probability (Poisson sampling with
permanent random numbers: Ohlsson, in Business Survey Methods, 1995). Draws are independent, the
order of units does not matter, and a repeated draw is the same draw.

Weights are Hájek's: 1 / probability, scaled to the number of units where that is known (Särndal,
Swensson and Wretman, Model Assisted Survey Sampling, 1992). The variance of estimates follows the
jackknife for unequal probabilities (Berger and Skinner, Journal of the Royal Statistical Society B
67, 2005), by groups where there are many units; draws of weights follow the generalised bootstrap
for Poisson sampling (Beaumont and Patak, International Statistical Review 80, 2012). Weights can be
calibrated by what is known of all units, annotated or not (Deville and Särndal, Journal of the
American Statistical Association 87, 1992).
"""

from collections.abc import Iterable
from hashlib import blake2b
from heapq import nsmallest
from typing import Final, TypeVar

import numpy as np

from services.domain.arrays import FloatArray

_EQUAL_SHARE: Final = 0.5
"""Share of a draw that ignores sizes, so that no weight exceeds twice that of a uniform draw."""
_SEED: Final = 95
_ROUNDS: Final = 30
_CLOSE: Final = 1e-9
_Unit = TypeVar("_Unit", bound=str)
_MIN_FACTOR: Final = 0.05
"""Of a weight that is calibrated, so that none is negative."""


def permanent_number(campaign: str, unit: str) -> float:
    """The unit's number in a campaign, uniform in [0, 1)."""
    digest = blake2b(f"{campaign}\x00{unit}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def fixed_sample(campaign: str, units: Iterable[_Unit], most: int) -> list[_Unit]:
    """At most so many of the units, each with equal probability, sorted."""
    return sorted(nsmallest(most, units, key=lambda unit: permanent_number(campaign, unit)))


def inclusion_probabilities(sizes: FloatArray, expected: float) -> FloatArray:
    """(N,) probabilities, half of them equal and half proportional to size.

    Parameters
    ----------
    sizes : (N,) not negative; best is the standard deviation that one expects of a unit (Neyman,
        1934)
    expected : their sum, the expected number of drawn units, above 0
    """
    if expected >= sizes.size:
        return np.ones(sizes.size)
    total = float(sizes.sum())
    equal = np.full(sizes.size, 1 / sizes.size)
    shares = _EQUAL_SHARE * equal + (1 - _EQUAL_SHARE) * sizes / total if total else equal
    probabilities: FloatArray = np.minimum(1.0, expected * shares)
    for _ in range(_ROUNDS):
        uncertain = probabilities < 1
        missing = expected - float(probabilities.sum())
        if missing < _CLOSE or not uncertain.any():
            break
        # What certain units cannot take is spread over the others.
        factor = 1 + missing / float(probabilities[uncertain].sum())
        probabilities[uncertain] = np.minimum(1.0, probabilities[uncertain] * factor)
    return probabilities


def weights_of(probabilities: FloatArray, units: int | None) -> FloatArray:
    """(n,) the weights of the drawn units.

    Parameters
    ----------
    units : the number of units that they represent, which is the weights' sum; None where it is not
        known, and the expected value of the sum
    """
    return _scaled(1 / probabilities, units)


def weight_draws(probabilities: FloatArray, units: int | None, count: int, seed: int) -> FloatArray:
    """(count, n) weights, as varied as those of other draws of the sample.

    Each unit's noise is enlarged by its leverage, without which small samples look too certain
    (the HC3 estimator: MacKinnon and White, Journal of Econometrics 29, 1985).
    """
    shape = (count, probabilities.size)
    noise = np.random.default_rng(seed).exponential(1, shape) - 1
    leverage = (1 / probabilities) / (1 / probabilities).sum()
    spread = np.sqrt(1 - probabilities) / np.maximum(1 - leverage, _CLOSE)
    varied = np.maximum(1 + spread * noise, _CLOSE) / probabilities
    return _scaled(varied, units)


def perturbed_weights(probabilities: FloatArray, units: int | None, groups: int) -> FloatArray:
    """(G, n) weights with one group of units changed in turn.

    A unit loses its weight times the root of its chance not to be drawn, so that the squares of an
    estimate's changes add up to its variance. Where a group has several units, a coin decides which
    of the others gain as much instead, so that what units have in common does not add up.

    Parameters
    ----------
    groups : the most groups; with fewer units, each is one
    """
    count = probabilities.size
    members = np.arange(count) % groups == np.arange(min(groups, count))[:, None]
    signs = np.full(count, -1.0)
    signs[groups:] = np.random.default_rng(_SEED).choice((-1.0, 1.0), max(0, count - groups))
    change = members * signs * np.sqrt(1 - probabilities)
    return _scaled((1 + change) / probabilities, units)


def calibrated(weights: FloatArray, known: FloatArray, totals: FloatArray) -> FloatArray:
    """(R, n) weights, changed so that the drawn units represent what is known of all units.

    An estimate is then as exact as a linear regression on the known quantities predicts it.

    Parameters
    ----------
    weights : (R, n)
    known : (n, K), of each drawn unit
    totals : (K,), of all units that these represent
    """
    moments = np.einsum("rn,nk,nl->rkl", weights, known, known)
    missing = totals - weights @ known
    # A pseudo-inverse, because known quantities may be proportional to one another.
    inverse = np.linalg.pinv(moments, rcond=_CLOSE, hermitian=True)
    changes = inverse @ missing[..., None]
    factors = 1 + changes[..., 0] @ known.T
    return np.asarray(weights * np.maximum(factors, _MIN_FACTOR))


def _scaled(weights: FloatArray, units: int | None) -> FloatArray:
    if units is None:
        return weights
    scaled: FloatArray = weights * (units / weights.sum(axis=-1, keepdims=True))
    return scaled
