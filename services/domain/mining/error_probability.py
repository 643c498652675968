"""How probably each detection of one detector is wrong: one model for all its categories.

Failure models tell the failure modes of one category apart, and need examples of each. Here only
right and wrong are distinguished, over everything annotated. All categories share the weights;
each category has its own intercept and weight of the score, both shrunk toward the shared ones, so
that a category with few examples relies on the shared ones
(partial pooling: Gelman and Hill, Data Analysis Using Regression, 2007).

A model is overconfident on the examples that it was fitted to. So it is recalibrated by out-of-fold
predictions (Platt, 1999). Examples of a cluster resemble one another, so a fold never divides one.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.mining.principal_components import PrincipalComponents
from services.domain.statistics.clusters import sums_by_cluster
from services.domain.statistics.standardisation import Standardisation

_COMPONENTS: Final = 32
_RIDGE: Final = 10.0
_CATEGORY_RIDGE: Final = 2.0
_SLOPE_RIDGE: Final = 20.0
"""Of the recalibration's slope, toward 1."""
_FREE: Final = 1e-4
"""Of intercepts, which only have to stay finite."""
_FOLDS: Final = 5
_ROUNDS: Final = 50
_MIN_STEP: Final = 1e-7
_MAX_LOG_ODDS: Final = 35.0


@dataclass(frozen=True)
class ClusteredDetections:
    """N detections of one detector.

    Attributes
    ----------
    features : (N, F) float64, see region_features; the first is the log odds of the score
    vectors : (N, D) float32, unit length
    categories : (N,) int64, a number per category
    clusters : (N,) int64, a number per drive, whose frames resemble one another
    """

    features: FloatArray
    vectors: Vectors
    categories: IntArray
    clusters: IntArray

    def __len__(self) -> int:
        return len(self.categories)

    def on(self, rows: BoolArray | IntArray) -> Self:
        """Some of them."""
        return type(self)(
            self.features[rows], self.vectors[rows], self.categories[rows], self.clusters[rows]
        )


@dataclass(frozen=True)
class _Inputs:
    """The columns of the regression: components and features, then those of categories."""

    components: PrincipalComponents
    standardisation: Standardisation
    categories: int

    @classmethod
    def of(cls, examples: ClusteredDetections) -> Self:
        return cls(
            PrincipalComponents.of(examples.vectors, _COMPONENTS),
            Standardisation.of(examples.features),
            int(examples.categories.max()) + 1,
        )

    def columns(self, detections: ClusteredDetections) -> FloatArray:
        """(N, K); a category without examples has only the shared columns."""
        features = self.standardisation.applied(detections.features)
        own = detections.categories[:, None] == np.arange(self.categories)
        return np.column_stack(
            [
                np.ones(len(detections)),
                self.components.coordinates(detections.vectors),
                features,
                own,
                own * features[:, :1],
            ]
        )

    @property
    def penalties(self) -> FloatArray:
        """(K,) of each column's weight."""
        shared = self.components.basis.shape[1] + self.standardisation.mean.size
        return np.concatenate(
            [[_FREE], np.full(shared, _RIDGE), np.full(2 * self.categories, _CATEGORY_RIDGE)]
        )


@dataclass(frozen=True)
class _Fit:
    """Weights at the minimum of a penalised log loss.

    Attributes
    ----------
    weights : (K,)
    inverse : (K, K), the inverse of the loss's second derivative
    """

    weights: FloatArray
    inverse: FloatArray


def _fitted(
    columns: FloatArray,
    wrong: FloatArray,
    penalties: FloatArray,
    *,
    offset: FloatArray | float = 0.0,
    start: FloatArray | None = None,
) -> _Fit:
    """Newton's method with halved steps: the loss is convex.

    `logistic.fit` stays apart: of ninety inputs and ten modes, Newton's second derivative would
    have 800,000 entries; here it has some thousands, and the intervals need its inverse anyway.
    """

    def loss(weights: FloatArray) -> float:
        odds = offset + columns @ weights
        fit = float((np.logaddexp(0.0, odds) - wrong * odds).sum())
        return fit + float((penalties * weights**2).sum()) / 2

    weights = np.zeros(columns.shape[1]) if start is None else start
    value = loss(weights)
    for _ in range(_ROUNDS):
        probable = _probability(offset + columns @ weights)
        slope = columns.T @ (wrong - probable) - penalties * weights
        step = np.linalg.solve(_curvature(columns, probable, penalties), slope)
        length = 1.0
        while (now := loss(weights + length * step)) > value and length > _MIN_STEP:
            length /= 2
        weights, value = weights + length * step, now
        if np.abs(length * step).max() < _MIN_STEP:
            break
    probable = _probability(offset + columns @ weights)
    return _Fit(weights, np.asarray(np.linalg.inv(_curvature(columns, probable, penalties))))


def _curvature(columns: FloatArray, probable: FloatArray, penalties: FloatArray) -> FloatArray:
    weighted = columns * (probable * (1 - probable))[:, None]
    return np.asarray(weighted.T @ columns + np.diag(penalties))


def _probability(log_odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -_MAX_LOG_ODDS, _MAX_LOG_ODDS))))


@dataclass(frozen=True)
class ErrorProbability:
    """A model of right and wrong, recalibrated.

    Attributes
    ----------
    weights : (K,)
    recalibration : (2,), what is added to log odds, and what times the log odds
    influence : (G, 2 + K), by how much each cluster of examples moves recalibration and weights
    """

    inputs: _Inputs
    weights: FloatArray
    recalibration: FloatArray
    influence: FloatArray

    def of(self, detections: ClusteredDetections) -> "Predicted":
        """Its predictions for detections."""
        columns = self.inputs.columns(detections)
        return _predicted(columns, columns @ self.weights, self.recalibration)

    def variance(self, predicted: "Predicted") -> float:
        """Variance of the mean probability, over other samples of examples.

        References
        ----------
        Jaeckel (1972), the infinitesimal jackknife; of clusters, Liang and Zeger (1986)
        """
        clusters = len(self.influence)
        moved = self.influence @ predicted.derivatives.mean(axis=0)
        return float((moved**2).sum()) * clusters / max(clusters - 1, 1)


@dataclass(frozen=True)
class Predicted:
    """A model's predictions for N detections.

    Attributes
    ----------
    wrong : (N,) probabilities
    derivatives : (N, 2 + K), by the recalibration and by the weights
    """

    wrong: FloatArray
    derivatives: FloatArray

    def on(self, rows: BoolArray) -> Self:
        """Of some of them."""
        return type(self)(self.wrong[rows], self.derivatives[rows])


def _predicted(columns: FloatArray, odds: FloatArray, recalibration: FloatArray) -> Predicted:
    intercept, slope = recalibration
    wrong = _probability(odds + intercept + slope * odds)
    steep = (wrong * (1 - wrong))[:, None]
    by_recalibration = steep * np.column_stack([np.ones(odds.size), odds])
    return Predicted(wrong, np.column_stack([by_recalibration, steep * (1 + slope) * columns]))


@dataclass(frozen=True)
class FittedErrors:
    """A model, and its predictions for the examples that recalibrate it.

    Attributes
    ----------
    wrong : (N,) probabilities, by models that were not fitted to the example's cluster
    residuals : (N,), whether each is wrong, minus its probability
    clusters : (N,)
    """

    model: ErrorProbability
    wrong: FloatArray
    residuals: FloatArray
    clusters: IntArray


def fit_errors(examples: ClusteredDetections, wrong: BoolArray, counted: BoolArray) -> FittedErrors:
    """Fit a model to N examples.

    Parameters
    ----------
    wrong : (N,)
    counted : (N,), the examples that it is recalibrated by: those like what it is asked about
    """
    inputs, labels = _Inputs.of(examples), wrong.astype(np.float64)
    columns, penalties = inputs.columns(examples), inputs.penalties
    fit = _fitted(columns, labels, penalties)
    odds = _out_of_fold(columns, labels, penalties, examples.clusters, fit.weights)
    pairs = np.column_stack([np.ones(len(labels)), odds])
    recalibrated = _fitted(
        pairs[counted], labels[counted], np.array([_FREE, _SLOPE_RIDGE]), offset=odds[counted]
    )
    predicted = _predicted(columns, odds, recalibrated.weights)
    clusters = np.unique(examples.clusters, return_inverse=True)[1]
    of_weights = sums_by_cluster(
        (labels - _probability(odds))[:, None] * columns @ fit.inverse, clusters
    )
    residuals = labels - predicted.wrong
    of_pairs = sums_by_cluster(
        (counted * residuals)[:, None] * pairs @ recalibrated.inverse, clusters
    )
    # Other weights give other log odds, to which the recalibration adapts.
    adapted = pairs[counted].T @ predicted.derivatives[counted, 2:]
    of_pairs -= of_weights @ adapted.T @ recalibrated.inverse
    influence = np.column_stack([of_pairs, of_weights])
    model = ErrorProbability(inputs, fit.weights, recalibrated.weights, influence)
    return FittedErrors(
        model, predicted.wrong[counted], residuals[counted], examples.clusters[counted]
    )


def _out_of_fold(
    columns: FloatArray,
    wrong: FloatArray,
    penalties: FloatArray,
    clusters: IntArray,
    start: FloatArray,
) -> FloatArray:
    """(N,) log odds of each example by a model that was not fitted to its cluster."""
    fold = np.unique(clusters, return_inverse=True)[1] % _FOLDS
    odds = np.zeros(len(wrong))
    for number in range(_FOLDS):
        held, used = fold == number, fold != number
        if held.any() and used.any():
            fit = _fitted(columns[used], wrong[used], penalties, start=start)
            odds[held] = columns[held] @ fit.weights
    return odds
