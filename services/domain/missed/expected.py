"""How many objects a detector is expected to have missed on a frame, learnt where they are known.

A Poisson regression with a log link (McCullagh and Nelder, Generalized Linear Models, 2nd edition,
chapter 6) and a ridge. All groups share the weights of the features and differ in their intercepts,
because most categories have only a handful of misses on the reference.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.arrays import FloatArray
from services.domain.statistics.standardisation import Standardisation

RIDGE: Final = 10.0
"""Of the features' weights. On the street photos 3 to 100 list about the same frames."""
_INTERCEPT_RIDGE: Final = 3.0
"""Of each group's departure from the common intercept."""
_COMMON_RIDGE: Final = 1e-3
_OUTLIER: Final = 4.0
"""Standardised features are clipped to this, so that no frame is extrapolated to thousands."""
_STEPS: Final = 50
_HALVINGS: Final = 30
_TOLERANCE: Final = 1e-8
_MAX_LOG: Final = 10.0


@dataclass(frozen=True)
class MissModel:
    """Expected numbers of missed objects, per frame and group.

    Attributes
    ----------
    standardisation : of the features on the reference
    weights : (K + G + 1,), of the features, of the groups, and the common intercept
    """

    standardisation: Standardisation
    weights: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, missed: FloatArray) -> Self | None:
        """The model of what was missed; None where nothing was missed.

        Parameters
        ----------
        features : (F, G, K), of annotated frames
        missed : (F, G), the number of missed objects
        """
        if not missed.sum():
            return None
        groups, width = features.shape[1:]
        standardisation = Standardisation.of(features.reshape(-1, width))
        ridge = np.concatenate(
            [
                np.full(width, RIDGE),
                np.full(groups, _INTERCEPT_RIDGE),
                np.full(1, _COMMON_RIDGE),
            ]
        )
        inputs = _inputs(standardisation, features)
        weights = _poisson(inputs, missed.reshape(-1).astype(np.float64), ridge)
        return cls(standardisation, weights)

    def expected(self, features: FloatArray) -> FloatArray:
        """(F, G) expected numbers, from (F, G, K) features."""
        log_rates = _inputs(self.standardisation, features) @ self.weights
        rates = np.exp(np.minimum(log_rates, _MAX_LOG))
        return rates.reshape(features.shape[:2])


def _inputs(standardisation: Standardisation, features: FloatArray) -> FloatArray:
    """(F * G, K + G + 1) of (F, G, K) features: the features, the groups, and ones."""
    frames, groups, width = features.shape
    rows = standardisation.applied(features.reshape(-1, width))
    of_groups = np.tile(np.eye(groups), (frames, 1))
    ones = np.ones((len(rows), 1))
    return np.concatenate([rows.clip(-_OUTLIER, _OUTLIER), of_groups, ones], axis=1)


def _poisson(inputs: FloatArray, counts: FloatArray, ridge: FloatArray) -> FloatArray:
    """The weights of least penalised loss: Newton's method, with halved steps where it rises."""
    weights = np.zeros(inputs.shape[1])
    weights[-1] = np.log(counts.mean())

    def loss(at: FloatArray) -> float:
        logs = np.minimum(inputs @ at, _MAX_LOG)
        return float(np.exp(logs).sum() - counts @ logs + (ridge * at * at).sum() / 2)

    value = loss(weights)
    for _ in range(_STEPS):
        rates = np.exp(np.minimum(inputs @ weights, _MAX_LOG))
        slope = inputs.T @ (rates - counts) + ridge * weights
        curvature = (inputs * rates[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        for _ in range(_HALVINGS):
            if loss(weights - step) <= value:
                break
            step /= 2
        weights = weights - step
        before, value = value, loss(weights)
        if before - value <= _TOLERANCE * max(abs(value), 1.0):
            break
    return weights
