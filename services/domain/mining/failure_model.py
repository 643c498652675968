"""What tells one way of failing from another, learnt from the annotated regions of one kind.

A kind is a detector and a predicted category. Its examples are regions of which the truth is known:
right ones, and wrong ones by mode. Where there are enough of both, a logistic model over principal
components of the region vector and what else the detection shows; with fewer, contrast with the
right ones; without any, similarity.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category
from services.domain.detection.coco import FloatArray
from services.domain.mining import logistic
from services.domain.mining.ranking import Vectors, true_positive_similarity

RIDGE: Final = 10.0
COMPONENTS: Final = 64
EXAMPLES_MIN: Final = 5
"""Of right and of wrong regions each, from which a model is learnt."""
PER_MODE_MIN: Final = 2
"""Examples from which a mode is told apart; rarer ones are learnt together."""
_NEEDLES_MAX: Final = 50
"""Needles of a mode not learnt that are looked around; there are seldom more than a few."""
_STEEPNESS: Final = 10.0
"""Spreads differences of cosines, which are a few tenths, over 0 to 1."""


class FailureMode(NamedTuple):
    """A way of failing: two needles of one kind and mode are wrong in the same way."""

    error: ErrorType
    taken_for: Category | None = None
    """For a classification error, what it truly is."""

    @classmethod
    def of(cls, error: ErrorType, true_category: Category | None) -> Self:
        """The mode of an error."""
        return cls(error, true_category if error is ErrorType.CLASSIFICATION else None)


class Method(StrEnum):
    """How evidence comes about, the best one first."""

    LOGISTIC = "logistic"
    CONTRAST = "contrast"
    SIMILARITY = "similarity"


@dataclass(frozen=True)
class Examples:
    """Regions of one kind and their truth, in an order that depends on nothing but themselves.

    Attributes
    ----------
    vectors : (N, D) float32, unit length
    features : (N, F) float64, see region_features
    modes : N, none where the detector is right
    """

    vectors: Vectors
    features: FloatArray
    modes: Sequence[FailureMode | None]

    @property
    def wrong(self) -> int:
        """How many are wrong in any way."""
        return sum(mode is not None for mode in self.modes)

    @property
    def right_vectors(self) -> Vectors:
        """Of the right ones."""
        return self.vectors[[mode is None for mode in self.modes]]


class FailureModel:
    """What a kind's examples teach."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._rights = examples.right_vectors
        self._learnt = _Learnt.of(examples)
        self._judged: tuple[Vectors, FloatArray, FloatArray] | None = None

    def method(self, mode: FailureMode) -> Method:
        """How evidence for this mode comes about."""
        if self._learnt is not None and mode in self._learnt.columns:
            return Method.LOGISTIC
        return Method.CONTRAST if len(self._rights) else Method.SIMILARITY

    def wrong(self, vectors: Vectors, features: FloatArray) -> FloatArray:
        """(N,), how probably each region is wrong in any way."""
        if self._learnt is not None:
            return np.asarray(1 - self._probabilities(self._learnt, vectors, features)[:, 0])
        share = (self._examples.wrong + 1) / (len(self._examples.modes) + 2)
        return np.full(len(vectors), share)

    def evidence(
        self, mode: FailureMode, needles: Vectors, vectors: Vectors, features: FloatArray
    ) -> FloatArray:
        """How much speaks for each region failing in this mode.

        Parameters
        ----------
        needles : (M, D), the mode's needles
        vectors, features : (N, D) and (N, F), the regions

        Returns
        -------
        (N,) in [0, 1]; a probability where the method is logistic, .5 where contrast finds the
        region as like the right ones as it is like a needle
        """
        if self._learnt is not None and mode in self._learnt.columns:
            probable = self._probabilities(self._learnt, vectors, features)
            return np.asarray(probable[:, self._learnt.columns[mode]])
        nearest = np.asarray(needles @ vectors.T, np.float64).max(axis=0)
        if not len(self._rights):
            return np.asarray(np.clip(nearest, 0.0, 1.0))
        alike = true_positive_similarity(vectors, self._rights)
        return np.asarray(1 / (1 + np.exp(-_STEEPNESS * (nearest - alike))))

    def _probabilities(
        self, learnt: "_Learnt", vectors: Vectors, features: FloatArray
    ) -> FloatArray:
        # One haystack is asked about once for each mode, and again in the next plan.
        if (
            self._judged is None
            or self._judged[0] is not vectors
            or self._judged[1] is not features
        ):
            self._judged = vectors, features, learnt.probabilities(vectors, features)
        return self._judged[2]

    def directions(self, needles: Mapping[FailureMode, Vectors]) -> Vectors:
        """Where in the space of vectors to look for regions that fail in these modes.

        Parameters
        ----------
        needles : (M, D) by mode

        Returns
        -------
        (Q, D), the learnt discriminants against right regions; for modes that have none, the first
        of their needles themselves
        """
        modes = sorted(needles, key=lambda mode: (mode.error, mode.taken_for or ""))
        learnt = self._discriminants()
        plain = [mode for mode in modes if mode not in learnt]
        directions = [learnt[mode] for mode in modes if mode in learnt]
        directions += [row for mode in plain for row in needles[mode][:_NEEDLES_MAX]]
        return np.stack(directions)

    def _discriminants(self) -> dict[FailureMode, Vectors]:
        if self._learnt is None:
            return {}
        rows = self._learnt.discriminants()
        found = {mode: rows[column - 1] for mode, column in self._learnt.columns.items()}
        return {mode: row for mode, row in found.items() if np.linalg.norm(row) > 0}


@dataclass(frozen=True)
class _Learnt:
    """A fitted model; column 0 is right, the others the modes."""

    columns: dict[FailureMode, int]
    model: logistic.Logistic
    mean: Vectors
    basis: FloatArray
    """(D, C), principal directions over the first one's deviation."""
    feature_mean: FloatArray
    feature_deviation: FloatArray

    @classmethod
    def of(cls, examples: Examples) -> Self | None:
        wrong = examples.wrong
        if wrong < EXAMPLES_MIN or len(examples.modes) - wrong < EXAMPLES_MIN:
            return None
        counts = Counter(mode for mode in examples.modes if mode is not None)
        told_apart = sorted(
            (mode for mode, count in counts.items() if count >= PER_MODE_MIN),
            key=lambda mode: (mode.error, mode.taken_for or ""),
        )
        columns = {mode: place for place, mode in enumerate(told_apart, start=1)}
        rest = len(columns) + 1
        labels = np.array([0 if m is None else columns.get(m, rest) for m in examples.modes])
        mean, basis = _principal(examples.vectors)
        deviation = examples.features.std(axis=0)
        shape = cls(
            columns,
            logistic.Logistic(np.empty((0, 0)), np.empty(0)),
            mean,
            basis,
            examples.features.mean(axis=0),
            np.where(deviation > _NO_DEVIATION, deviation, 1.0),
        )
        model = logistic.fit(
            shape.inputs(examples.vectors, examples.features),
            labels.astype(np.int64),
            int(labels.max()) + 1,
            ridge=RIDGE,
        )
        return cls(columns, model, mean, basis, shape.feature_mean, shape.feature_deviation)

    def inputs(self, vectors: Vectors, features: FloatArray) -> FloatArray:
        standard = (features - self.feature_mean) / self.feature_deviation
        return np.column_stack([(vectors - self.mean) @ self.basis, standard])

    def probabilities(self, vectors: Vectors, features: FloatArray) -> FloatArray:
        return self.model.probabilities(self.inputs(vectors, features))

    def discriminants(self) -> Vectors:
        weights = self.model.weights[: self.basis.shape[1]]
        return np.asarray((self.basis @ (weights[:, 1:] - weights[:, :1])).T.astype(np.float32))


_NO_DEVIATION: Final = 0.01
_NOTHING: Final = 1e-6
"""Of the first direction's size; what is less is rounding."""


def _principal(vectors: Vectors) -> tuple[Vectors, FloatArray]:
    """Their mean, and (D, C) principal directions over the first one's deviation.

    By the eigenvectors of the smaller of the two products of the vectors with themselves: a
    singular value decomposition finds the same, and takes ten times as long.
    """
    mean = vectors.mean(axis=0)
    rest = (vectors - mean).astype(np.float64)
    count, dimension = rest.shape
    wide = count < dimension
    values, columns = np.linalg.eigh(rest @ rest.T if wide else rest.T @ rest)
    sizes = np.sqrt(np.maximum(values[::-1][:COMPONENTS], 0.0))
    columns = columns[:, ::-1][:, :COMPONENTS]
    first = max(float(sizes[0]), 1e-9)
    significant = sizes > _NOTHING * first
    directions = columns[:, significant]
    if wide:
        directions = rest.T @ directions / sizes[significant]
    return mean, np.asarray(directions * (np.sqrt(count) / first))
