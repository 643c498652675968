"""How sure a mAP is: 95% intervals from resampling frames, alone and of two detectors at once.

Frames are what is sampled, so they are what is resampled; each gets a Poisson(1) weight (the
Poisson bootstrap: Hanley and MacGibbon, 2006), the same for every category and every detector. As
long as that is cheap, AP is reckoned anew under each of the weights. Beyond, its first order gives
the width: AP moves by the sum of each frame's influence times its weight's change, so its deviation
is the root of the influences' squared sum (the infinitesimal jackknife: Efron, 1982), in one pass
however many frames there are; and a few draws give the bias.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from services.domain.detection.coco import BoolArray, FloatArray, IntArray
from services.domain.metrics.match_table import MatchTable
from services.domain.statistics.intervals import middle_95

REPLICATES: Final = 400
EXACT_UP_TO: Final = 5_000_000
"""Detections times replicates that are worked through in a quarter of a second."""
_FEW: Final = 4
_NORMAL_975: Final = 1.959963984540054
_SEED: Final = 95

N = TypeVar("N", float, FloatArray)


@dataclass(frozen=True)
class Interval:
    """A mAP, or a difference of two, and where it lies with 95% confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One category of a detector on some frames."""

    table: MatchTable
    keep: BoolArray
    """(F,) the table's rows that count."""

    @property
    def size(self) -> int:
        return int(np.count_nonzero(self.keep[self.table.detections["row"]]))


def interval(samples: Sequence[Sample], frames: int) -> Interval | None:
    """The mAP over some categories; none where no ground truth defines it.

    Parameters
    ----------
    frames : how many frame numbers there are
    """
    return _interval([samples], frames)


def difference(ours: Sequence[Sample], theirs: Sequence[Sample], frames: int) -> Interval | None:
    """By how much our mAP is above theirs on the same frames; none where one is undefined.

    Both are reckoned under the same weights, so what is hard for both cancels.

    Parameters
    ----------
    ours, theirs : kept to the frames that both detectors looked at
    frames : how many frame numbers there are
    """
    return _interval([ours, theirs], frames)


def _interval(detectors: Sequence[Sequence[Sample]], frames: int) -> Interval | None:
    value = _minus([_mean_ap(samples, np.ones(frames, np.int64)) for samples in detectors])
    if np.isnan(value):
        return None
    if REPLICATES * sum(s.size for samples in detectors for s in samples) <= EXACT_UP_TO:
        draws, _ = _drawn(detectors, frames, REPLICATES)
        low, high = middle_95(draws) if draws.size else (value, value)
        # Pivotal: the envelope favours repeated frames, so the draws lie too high around the
        # value, as the value itself lies too high around the truth.
        return Interval(value, 2 * value - high, 2 * value - low)
    moved = _minus([_influence(samples, frames) for samples in detectors])
    half = _NORMAL_975 * float(np.sqrt(np.square(moved).sum()))
    draws, weights = _drawn(detectors, frames, _FEW)
    # What a draw has beyond its first order is mostly that same bias, and varies little.
    bias = float(np.mean(draws - value - (weights - 1) @ moved)) if draws.size else 0.0
    return Interval(value, value - bias - half, value - bias + half)


def _drawn(
    detectors: Sequence[Sequence[Sample]], frames: int, count: int
) -> tuple[FloatArray, IntArray]:
    """mAP, or the difference, under random weights, and the weights; where it is defined."""
    weights = np.random.default_rng(_SEED).poisson(1, (count, frames))
    draws = np.array([_minus([_mean_ap(samples, w) for samples in detectors]) for w in weights])
    known = ~np.isnan(draws)
    return draws[known], weights[known]


def _mean_ap(samples: Iterable[Sample], weights: IntArray) -> float:
    """MAP under frame weights; NaN where it is undefined."""
    from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

    known = []
    for sample in samples:
        rows, detections = sample.table.rows, sample.table.detections
        ap = resampling_kernels.weighted_ap(rows, detections, weights[rows["frame"]] * sample.keep)
        if not np.isnan(ap):
            known.append(float(ap))
    return sum(known) / len(known) if known else float("nan")


def _influence(samples: Sequence[Sample], frames: int) -> FloatArray:
    """(frames,) by how much mAP moves per unit of each frame's weight."""
    from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

    moved = np.zeros(frames)
    known = 0
    for sample in samples:
        rows, detections = sample.table.rows, sample.table.detections
        out = np.zeros(rows.size)
        ap = resampling_kernels.influence(rows, detections, sample.keep, out)
        known += not np.isnan(ap)
        moved[rows["frame"]] += out
    return moved / max(known, 1)


def _minus(values: Sequence[N]) -> N:
    return values[0] if len(values) == 1 else values[0] - values[1]
