"""What is annotated next: random frames, and the strategies that Gazeloop is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from benchmarks.loop_detector import Found
from benchmarks.loop_frames import Division, LoopSet
from services.domain.arrays import FloatArray, IntArray

Detect = Callable[[int], Found]
"""What a trained detector finds on a frame."""


@dataclass(frozen=True)
class Round:
    """What is known when frames are chosen.

    Attributes
    ----------
    number : from 1
    found : what the current detector finds on a frame
    vectors : (F, D) float32, unit length, of all frames
    annotated : (n,), frames of the pool that earlier rounds have chosen
    rng : of this seed, strategy and round
    """

    data: LoopSet
    division: Division
    number: int
    found: Detect
    vectors: FloatArray
    annotated: IntArray
    rng: np.random.Generator

    @property
    def open(self) -> IntArray:
        """(n,), frames of the pool that are not annotated."""
        return np.setdiff1d(self.division.pool, self.annotated)


class Strategy(Protocol):
    """Chooses frames of the pool."""

    @property
    def adapts(self) -> bool:
        """Whether the choice depends on the detector; if not, only the last one is trained."""
        ...

    async def choose(self, state: Round, budget: int) -> IntArray:
        """(budget,) different frames that are not annotated."""
        ...


@dataclass(frozen=True)
class Ranked:
    """Chooses the frames with the highest values; ties at random."""

    value: Callable[[Round, IntArray], FloatArray]
    adapts: bool = True

    async def choose(self, state: Round, budget: int) -> IntArray:
        """See `Strategy`."""
        return ranked(state, self.value, budget)


@dataclass(frozen=True)
class RandomFrames:
    """Chooses at random."""

    adapts: bool = False

    async def choose(self, state: Round, budget: int) -> IntArray:
        """See `Strategy`."""
        return state.rng.permutation(state.open)[:budget]


@dataclass(frozen=True)
class Coverage:
    """K-center: each frame is the one farthest from all that are annotated or chosen.

    References
    ----------
    Sener and Savarese (2018), Active Learning for Convolutional Neural Networks
    """

    adapts: bool = False

    async def choose(self, state: Round, budget: int) -> IntArray:
        """See `Strategy`."""
        return farthest(state, budget)


@dataclass(frozen=True)
class CoverageAndFailures:
    """FiftyOne's recipe: 30% for coverage, 70% for the hardest frames."""

    coverage: float = 0.3
    adapts: bool = True

    async def choose(self, state: Round, budget: int) -> IntArray:
        """See `Strategy`."""
        covering = farthest(state, round(self.coverage * budget))
        hardest = ranked(state, mean_entropy, budget + len(covering))
        return np.concatenate([covering, hardest[~np.isin(hardest, covering)]])[:budget]


def ranked(state: Round, value: Callable[[Round, IntArray], FloatArray], budget: int) -> IntArray:
    """(budget,), the open frames with the highest values; ties at random."""
    frames = state.rng.permutation(state.open)
    return frames[np.argsort(-value(state, frames), kind="stable")][:budget]


def farthest(state: Round, budget: int) -> IntArray:
    """(budget,), greedy k-center from the initial and the annotated frames."""
    frames = state.rng.permutation(state.open)
    own = state.vectors[frames]
    known = state.vectors[np.concatenate([state.division.initial, state.annotated])]
    nearest = (own @ known.T).max(axis=1)
    chosen = []
    for _ in range(budget):
        place = int(nearest.argmin())
        chosen.append(place)
        nearest = np.maximum(nearest, own @ own[place])
        nearest[place] = np.inf
    return frames[chosen]


def _scores(state: Round, frames: IntArray) -> Sequence[FloatArray]:
    return [state.found(frame).score for frame in frames.tolist()]


def top_score(state: Round, frames: IntArray) -> FloatArray:
    """(n,), the highest score on each frame; 0 without detections."""
    return np.array([scores.max(initial=0.0) for scores in _scores(state, frames)])


def summed_entropy(state: Round, frames: IntArray) -> FloatArray:
    """(n,), the sum of the detections' entropies: many unsure boxes first."""
    return np.array([_entropies(scores).sum() for scores in _scores(state, frames)])


def mean_entropy(state: Round, frames: IntArray) -> FloatArray:
    """(n,), the mean of the detections' entropies, as FiftyOne's hardness."""
    parts = [_entropies(scores) for scores in _scores(state, frames)]
    return np.array([part.mean() if part.size else 0.0 for part in parts])


def _entropies(scores: FloatArray) -> FloatArray:
    """(n,) of detections that are right with the probability of their score."""
    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    entropy: FloatArray = -inside * np.log(inside) - (1 - inside) * np.log(1 - inside)
    return entropy


BASELINES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "random": RandomFrames(),
        "entropy": Ranked(summed_entropy),
        "lowest-score": Ranked(lambda state, frames: -top_score(state, frames)),
        "highest-score": Ranked(top_score),
        "k-center": Coverage(),
        "fiftyone-30-70": CoverageAndFailures(),
    }
)
"""By name; `random x2` is `random` with twice the budget."""
