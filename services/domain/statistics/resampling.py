"""95% intervals of mAP, and of the difference of two detectors, by resampling frames.

Frames are the sampling unit, so frames are resampled: each gets a Poisson(1) weight (the Poisson
bootstrap: Hanley and MacGibbon, 2006), the same for every category and every detector. Up to
EXACT_UP_TO, AP is recomputed under every draw of weights. Beyond, a first-order approximation gives
the width: AP changes by the sum of each frame's influence times the change of its weight, so its
deviation is the root of the sum of squared influences (the infinitesimal jackknife: Efron, 1982),
which takes one pass over any number of frames; a few draws give the bias.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from services.domain.detection.coco import BoolArray, FloatArray, IntArray
from services.domain.metrics.match_table import MatchTable
from services.domain.statistics.intervals import middle_95
from services.domain.statistics.significance import NORMAL_975

REPLICATES: Final = 400
EXACT_UP_TO: Final = 5_000_000
"""Detections times replicates; so many take a quarter of a second."""
_FEW: Final = 4
_SEED: Final = 95

N = TypeVar("N", float, FloatArray)


@dataclass(frozen=True)
class Interval:
    """A value with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One category of a detector on some frames."""

    table: MatchTable
    keep: BoolArray
    """(F,) bool, the rows of the table that count."""

    @property
    def size(self) -> int:
        return int(np.count_nonzero(self.keep[self.table.detections["row"]]))


def interval(samples: Sequence[Sample], frames: int) -> Interval | None:
    """The mAP over some categories; None where no ground truth defines it.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    return _interval([samples], frames)


def difference(first: Sequence[Sample], second: Sequence[Sample], frames: int) -> Interval | None:
    """The first detector's mAP minus the second's; None where one is undefined.

    Both are computed under the same weights, so the variation of frame difficulty cancels.

    Parameters
    ----------
    first, second : restricted to the frames with matches of both detectors
    frames : the number of frame numbers
    """
    return _interval([first, second], frames)


def _interval(detectors: Sequence[Sequence[Sample]], frames: int) -> Interval | None:
    value = _minus([_mean_ap(samples, np.ones(frames, np.int64)) for samples in detectors])
    if np.isnan(value):
        return None
    if REPLICATES * sum(s.size for samples in detectors for s in samples) <= EXACT_UP_TO:
        draws, _ = _drawn(detectors, frames, REPLICATES)
        low, high = middle_95(draws) if draws.size else (value, value)
        # A pivotal interval: the envelope favours repeated frames, so the draws are biased upward
        # from the value, as the value is from the truth.
        return Interval(value, 2 * value - high, 2 * value - low)
    moved = _minus([_influence(samples, frames) for samples in detectors])
    half = NORMAL_975 * float(np.sqrt(np.square(moved).sum()))
    draws, weights = _drawn(detectors, frames, _FEW)
    # The remainder of a draw beyond first order is mostly that bias, and varies little.
    bias = float(np.mean(draws - value - (weights - 1) @ moved)) if draws.size else 0.0
    return Interval(value, value - bias - half, value - bias + half)


def _drawn(
    detectors: Sequence[Sequence[Sample]], frames: int, count: int
) -> tuple[FloatArray, IntArray]:
    """Draws of mAP, or of the difference, with their weights; undefined draws are left out."""
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
    """(frames,) the derivative of mAP with respect to each frame's weight."""
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
