"""Failure models: classifiers of failure modes, learnt from a category's annotated regions.

There is one model per detector and predicted category. Its examples are regions of known truth:
true positives, and failures by mode. With enough of both, it is a logistic model over principal
components of the region vector and the features of the detection; with fewer, it contrasts needles
with true positives; without true positives, it uses similarity to the needles.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final, NamedTuple, Self
from weakref import ref

import numpy as np

from services.contracts.identity import RegionId
from services.domain.arrays import FloatArray, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining import logistic
from services.domain.mining.principal_components import PrincipalComponents
from services.domain.mining.ranking import cosines, true_positive_similarity
from services.domain.statistics.standardisation import Standardisation

RIDGE: Final = 10.0
COMPONENTS: Final = 64
MIN_EXAMPLES: Final = 5
"""The logistic model needs this many true positives, and as many failures."""
MIN_PER_MODE: Final = 2
"""Examples that give a mode a class of its own; rarer modes share one class."""
_MAX_NEEDLES: Final = 50
"""Needles of a mode without a class that are used as queries; few modes have more."""
_DIGEST_CHARACTERS: Final = 16
_PROBABILITY_DECIMALS: Final = 9
_STEEPNESS: Final = 10.0
"""Scales differences of cosines, which are a few tenths, to the range of a sigmoid."""


class Method(StrEnum):
    """How evidence is computed, the best method first."""

    LOGISTIC = "logistic"
    CONTRAST = "contrast"
    SIMILARITY = "similarity"
    POISSON = "poisson"
    """Of misses: the probability that an object of the category is missed on the frame."""


@dataclass(frozen=True)
class Examples:
    """Annotated regions of one detector and category, in an order that depends on them alone.

    Attributes
    ----------
    vectors : (N, D) float32, unit length
    features : (N, F) float64, see region_features
    modes : N, None for a true positive
    regions : N ids; empty where they are not needed
    """

    vectors: Vectors
    features: FloatArray
    modes: Sequence[FailureMode | None]
    regions: Sequence[RegionId] = ()

    @property
    def wrong(self) -> int:
        """The number of failures of any mode."""
        return sum(mode is not None for mode in self.modes)

    def digest(self) -> str:
        """Identifies these examples: a model fitted to them is the same wherever it is fitted."""
        content = sha256(f"[{', '.join(map(_digested, self.modes))}]".encode())
        content.update(np.ascontiguousarray(self.vectors).tobytes())
        content.update(np.ascontiguousarray(self.features).tobytes())
        return content.hexdigest()[:_DIGEST_CHARACTERS]

    @property
    def right_regions(self) -> list[RegionId]:
        """The ids of the true positives."""
        of_modes = zip(self.regions, self.modes, strict=True)
        return [region for region, mode in of_modes if mode is None]

    @property
    def right_vectors(self) -> Vectors:
        """The vectors of the true positives."""
        return self.vectors[[mode is None for mode in self.modes]]


def _digested(mode: FailureMode | None) -> str:
    """The mode in a digest of examples, where the true category keeps its first name."""
    # With another text, the models of stored epochs would not be found by their ids.
    if mode is None:
        return "None"
    return f"FailureMode(error={mode.error!r}, taken_for={mode.true_category!r})"


class FailureModel:
    """Estimates from examples how likely a region fails, and in which mode.

    Parameters
    ----------
    true_positives : (P, D) float32, the vectors of the examples that are right
    wrong_share : of the examples
    learnt : None where there are too few examples
    """

    def __init__(
        self, true_positives: Vectors, wrong_share: float, learnt: "LearntModes | None"
    ) -> None:
        self.true_positives = true_positives
        self.wrong_share = wrong_share
        self.learnt = learnt
        self._cached: _Scored | None = None

    @classmethod
    def fit(cls, examples: Examples) -> Self:
        """The model of these examples."""
        wrong_share = (examples.wrong + 1) / (len(examples.modes) + 2)
        return cls(examples.right_vectors, wrong_share, LearntModes.of(examples))

    @property
    def nbytes(self) -> int:
        """The size of its arrays in bytes."""
        learnt = self.learnt.nbytes if self.learnt is not None else 0
        return self.true_positives.nbytes + learnt

    def method(self, mode: FailureMode) -> Method:
        """How evidence for this mode is computed."""
        if self.learnt is not None and mode in self.learnt.columns:
            return Method.LOGISTIC
        return Method.CONTRAST if len(self.true_positives) else Method.SIMILARITY

    def wrong(self, vectors: Vectors, features: FloatArray) -> FloatArray:
        """(N,), the probability that each region is a failure of any mode."""
        if self.learnt is not None:
            return np.asarray(1 - self._probabilities(self.learnt, vectors, features)[:, 0])
        return np.full(len(vectors), self.wrong_share)

    def evidence(
        self, mode: FailureMode, needles: Vectors, vectors: Vectors, features: FloatArray
    ) -> FloatArray:
        """The evidence that each region fails in this mode.

        Parameters
        ----------
        needles : (M, D), the mode's needles
        vectors, features : (N, D) and (N, F), the regions

        Returns
        -------
        (N,) in [0, 1]; a probability where the method is logistic; with contrast, .5 means that
        the region is as similar to the true positives as to the nearest needle
        """
        if self.learnt is not None and mode in self.learnt.columns:
            probable = self._probabilities(self.learnt, vectors, features)
            return np.asarray(probable[:, self.learnt.columns[mode]])
        nearest = cosines(vectors, needles).max(axis=1)
        if not len(self.true_positives):
            return _without_noise(np.clip(nearest, 0.0, 1.0))
        similarity = true_positive_similarity(vectors, self.true_positives)
        return _without_noise(1 / (1 + np.exp(-_STEEPNESS * (nearest - similarity))))

    def _probabilities(
        self, learnt: "LearntModes", vectors: Vectors, features: FloatArray
    ) -> FloatArray:
        # Kept, because the same haystack is scored once per mode.
        cached = self._cached
        if cached is None or cached.vectors() is not vectors or cached.features() is not features:
            probable = learnt.probabilities(vectors, features)
            probable = _without_noise(probable)
            cached = self._cached = _Scored(ref(vectors), ref(features), probable)
        return cached.probabilities

    def directions(self, needles: Mapping[FailureMode, Vectors]) -> Vectors:
        """Query vectors that find regions which fail in these modes.

        Parameters
        ----------
        needles : (M, D) by mode

        Returns
        -------
        (Q, D), the learnt discriminants against true positives; for modes without one, the vectors
        of their first needles
        """
        modes = sorted(needles, key=lambda mode: (mode.error, mode.true_category or ""))
        learnt = self._discriminants()
        plain = [mode for mode in modes if mode not in learnt]
        directions = [learnt[mode] for mode in modes if mode in learnt]
        directions += [row for mode in plain for row in needles[mode][:_MAX_NEEDLES]]
        return np.stack(directions)

    def _discriminants(self) -> dict[FailureMode, Vectors]:
        if self.learnt is None:
            return {}
        rows = self.learnt.discriminants()
        found = {mode: rows[column - 1] for mode, column in self.learnt.columns.items()}
        return {mode: row for mode, row in found.items() if np.linalg.norm(row) > 0}


def _without_noise(probabilities: FloatArray) -> FloatArray:
    """Rounded: the last digits depend on which other regions are scored in the same call."""
    return np.asarray(np.round(probabilities, _PROBABILITY_DECIMALS))


class _Scored(NamedTuple):
    """The regions that a model scored last, which it does not keep in memory, and their scores."""

    vectors: "ref[Vectors]"
    features: "ref[FloatArray]"
    probabilities: FloatArray


@dataclass(frozen=True)
class LearntModes:
    """A fitted logistic model.

    Attributes
    ----------
    columns : of the model, by mode; column 0 is true positives, the last may be all rarer modes
    components, standardisation : of the vectors and of the features, which are its inputs
    """

    columns: dict[FailureMode, int]
    model: logistic.Logistic
    components: PrincipalComponents
    standardisation: Standardisation

    @classmethod
    def of(cls, examples: Examples) -> Self | None:
        wrong = examples.wrong
        if wrong < MIN_EXAMPLES or len(examples.modes) - wrong < MIN_EXAMPLES:
            return None
        counts = Counter(mode for mode in examples.modes if mode is not None)
        distinguishable = sorted(
            (mode for mode, count in counts.items() if count >= MIN_PER_MODE),
            key=lambda mode: (mode.error, mode.true_category or ""),
        )
        columns = {mode: column for column, mode in enumerate(distinguishable, start=1)}
        rest = len(columns) + 1
        labels = np.array([0 if m is None else columns.get(m, rest) for m in examples.modes])
        components = PrincipalComponents.of(examples.vectors, COMPONENTS)
        standardisation = Standardisation.of(examples.features)
        model = logistic.fit(
            _inputs(components, standardisation, examples.vectors, examples.features),
            labels.astype(np.int64),
            int(labels.max()) + 1,
            ridge=RIDGE,
        )
        return cls(columns, model, components, standardisation)

    @property
    def nbytes(self) -> int:
        arrays = (self.model.weights, self.components.mean, self.components.basis)
        return sum(array.nbytes for array in arrays)

    def probabilities(self, vectors: Vectors, features: FloatArray) -> FloatArray:
        return self.model.probabilities(
            _inputs(self.components, self.standardisation, vectors, features)
        )

    def discriminants(self) -> Vectors:
        basis = self.components.basis
        weights = self.model.weights[: basis.shape[1]]
        return np.asarray((basis @ (weights[:, 1:] - weights[:, :1])).T.astype(np.float32))


def _inputs(
    components: PrincipalComponents,
    standardisation: Standardisation,
    vectors: Vectors,
    features: FloatArray,
) -> FloatArray:
    """(N, C + F) of N regions."""
    return np.column_stack([components.coordinates(vectors), standardisation.applied(features)])
