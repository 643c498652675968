"""How well a ranking puts known failures first, with bootstrap intervals.

A ranking orders the regions of one detector and category for one failure mode; it is known which
regions are wrong, and which fail in that mode. Regions of one frame are correlated, so the
bootstrap resamples frames: each gets a Poisson(1) weight (Hanley and MacGibbon, 2006), the same for
every ranking. The difference of two rankings of the same regions therefore has a narrower interval
than either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.statistics.intervals import middle_95
from services.domain.statistics.resampling import Interval

REPLICATES: Final = 1000
_SEED: Final = 95
_MAX_WEIGHTS: Final = 1 << 17
"""Of regions or frames, at a time: 1 MB."""


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

    def best_first(self) -> "RankedRegions":
        """The same in the ranking's order."""
        order = np.argsort(-self.evidence, kind="stable")
        return RankedRegions(
            self.evidence[order], self.wrong[order], self.same[order], self.frame[order]
        )


def replicates(
    rankings: Sequence[RankedRegions], measure: RankingMeasure, frames: int
) -> FloatArray:
    """(1 + REPLICATES,), the measure over all rankings: its value, then its bootstrap replicates.

    NaN where it is not defined.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    ordered = [ranking.best_first() for ranking in rankings]
    rows = max(1, _MAX_WEIGHTS // max(frames, 1, *(ranking.frame.size for ranking in ordered)))
    totals = [_totals(ordered, measure, weights) for weights in _weights(frames, rows)]
    hits, all_ = np.concatenate(totals, axis=1)
    undefined = np.full(hits.size, np.nan)
    return np.asarray(np.divide(hits, all_, out=undefined, where=all_ > 0))


def _weights(frames: int, rows: int) -> Iterator[FloatArray]:
    """The weights of all frames, then those of the replicates, (rows, frames) at a time."""
    yield np.ones((1, frames))
    generator = np.random.default_rng(_SEED)
    for first in range(0, REPLICATES, rows):
        yield generator.poisson(1, (min(rows, REPLICATES - first), frames)).astype(np.float64)


def _totals(
    rankings: Sequence[RankedRegions], measure: RankingMeasure, weights: FloatArray
) -> FloatArray:
    """(2, R), what counts over all rankings, and of how much.

    Parameters
    ----------
    rankings : best first
    weights : (R, F), by frame number
    """
    totals = np.zeros((2, len(weights)))
    for ranking in rankings:
        row_weights = weights[:, ranking.frame]
        if measure is RankingMeasure.AUC:
            totals += _concordant(ranking.evidence, ranking.wrong, row_weights)
        else:
            counted = ranking.wrong if measure is RankingMeasure.YIELD else ranking.same
            totals += _counted_in_first(counted, row_weights, row_weights @ ranking.same)
    return totals


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
