"""How well a ranking puts known failures first, with bootstrap intervals.

A ranking orders the regions of one detector and category for one failure mode; it is known which
regions are wrong, and which fail in that mode. Regions of one frame are correlated, so the
bootstrap resamples frames: each gets a Poisson(1) weight (Hanley and MacGibbon, 2006), the same for
every ranking. The difference of two rankings of the same regions therefore has a narrower interval
than either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from services.domain.detection.coco import BoolArray, FloatArray, IntArray
from services.domain.statistics.intervals import middle_95
from services.domain.statistics.resampling import Interval

REPLICATES: Final = 1000
_SEED: Final = 95


class RankingMeasure(StrEnum):
    """The measures of a ranking."""

    AUC = "auc"
    """The probability that a wrong region is ranked above a right one; .5 is chance."""
    YIELD = "yield"
    """The share of the first R that is wrong, where R regions fail in the mode."""
    SAME_MODE = "same mode"
    """The share of the first R that fails in the mode (R-precision)."""


@dataclass(frozen=True)
class RankedRegions:
    """The regions of one detector and category, ranked for one mode.

    Attributes
    ----------
    evidence : (N,), the highest is ranked first
    wrong, same : (N,) bool, whether each is wrong in any mode, and in this mode
    frame : (N,), frame numbers from 0
    """

    evidence: FloatArray
    wrong: BoolArray
    same: BoolArray
    frame: IntArray


def replicates(
    rankings: Sequence[RankedRegions], measure: RankingMeasure, frames: int
) -> FloatArray:
    """(1 + REPLICATES,), the measure over all rankings: its value, then its bootstrap replicates.

    NaN where it is not defined.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    drawn = np.random.default_rng(_SEED).poisson(1, (REPLICATES, frames))
    weights = np.concatenate([np.ones((1, frames)), drawn])
    hits, all_ = np.zeros(len(weights)), np.zeros(len(weights))
    for ranking in rankings:
        order = np.argsort(-ranking.evidence, kind="stable")
        row_weights = weights[:, ranking.frame[order]]
        if measure is RankingMeasure.AUC:
            counted_weight, total_weight = _concordant(
                ranking.evidence[order], ranking.wrong[order], row_weights
            )
        else:
            counted = ranking.wrong if measure is RankingMeasure.YIELD else ranking.same
            counted_weight, total_weight = _counted_in_first(
                counted[order], row_weights, row_weights @ ranking.same[order]
            )
        hits += counted_weight
        all_ += total_weight
    undefined = np.full(len(weights), np.nan)
    return np.asarray(np.divide(hits, all_, out=undefined, where=all_ > 0))


def interval(drawn: FloatArray) -> Interval | None:
    """The value with its 95% interval; None where it is not defined."""
    return None if np.isnan(drawn[0]) else Interval(float(drawn[0]), *middle_95(drawn))


def _concordant(
    evidence: FloatArray, wrong: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The number of concordant pairs of wrong and right, ties counting half, and of all pairs.

    Parameters
    ----------
    evidence : (N,), descending
    weights : (R, N)
    """
    right = weights * ~wrong
    below = np.concatenate([right[:, ::-1].cumsum(1)[:, ::-1], np.zeros((len(weights), 1))], axis=1)
    first = np.searchsorted(-evidence, -evidence, side="left")
    past = np.searchsorted(-evidence, -evidence, side="right")
    halved = (below[:, first] + below[:, past]) / 2
    positive = weights * wrong
    return (positive * halved).sum(1), positive.sum(1) * right.sum(1)


def _counted_in_first(
    counted: BoolArray, weights: FloatArray, most: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The weight that counts within the first `most`, and `most` itself.

    Parameters
    ----------
    counted : (N,), best first
    weights : (R, N)
    most : (R,)
    """
    before = weights.cumsum(1) - weights
    taken = np.clip(most[:, None] - before, 0, weights)
    return (taken * counted).sum(1), most
