"""How well a ranking would have put known failures first, and how sure that is.

Regions are asked about in questions: of one kind and mode, how they are ranked, which of them are
wrong, and which in that mode. Regions of a frame come together, so frames are what is resampled:
each gets a Poisson(1) weight (Hanley and MacGibbon, 2006), the same for every ranking, so that of
two rankings of the same regions the difference is surer than either.
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
    """What is measured of a ranking."""

    AUC = "auc"
    """How often a wrong region is ranked above a right one: .5 is chance."""
    YIELD = "yield"
    """Of the first R, which share is wrong; R regions fail in the question's mode."""
    SAME_MODE = "same mode"
    """Of the first R, which share fails in that mode (R-precision)."""


@dataclass(frozen=True)
class RankedRegions:
    """The regions of one kind, as they are ranked for one mode.

    Attributes
    ----------
    evidence : (N,), the higher the earlier
    wrong, same : (N,), whether each is wrong at all, and in the mode
    frame : (N,), numbers of frames from 0
    """

    evidence: FloatArray
    wrong: BoolArray
    same: BoolArray
    frame: IntArray


def replicates(
    questions: Sequence[RankedRegions], measure: RankingMeasure, frames: int
) -> FloatArray:
    """(1 + REPLICATES,), the measure over all questions, as it is and under random weights.

    NaN where nothing defines it.

    Parameters
    ----------
    frames : how many frame numbers there are
    """
    drawn = np.random.default_rng(_SEED).poisson(1, (REPLICATES, frames))
    weights = np.concatenate([np.ones((1, frames)), drawn])
    hits, all_ = np.zeros(len(weights)), np.zeros(len(weights))
    for question in questions:
        order = np.argsort(-question.evidence, kind="stable")
        own = weights[:, question.frame[order]]
        if measure is RankingMeasure.AUC:
            some, of = _concordant(question.evidence[order], question.wrong[order], own)
        else:
            counted = question.wrong if measure is RankingMeasure.YIELD else question.same
            some, of = _among_first(counted[order], own, own @ question.same[order])
        hits += some
        all_ += of
    undefined = np.full(len(weights), np.nan)
    return np.asarray(np.divide(hits, all_, out=undefined, where=all_ > 0))


def interval(drawn: FloatArray) -> Interval | None:
    """The value and its middle 95%; none where it is not defined."""
    return None if np.isnan(drawn[0]) else Interval(float(drawn[0]), *middle_95(drawn))


def _concordant(
    evidence: FloatArray, wrong: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Pairs of wrong and right in the right order, a tie as half of one, and all pairs.

    Parameters
    ----------
    evidence : (N,), falling
    weights : (R, N)
    """
    right = weights * ~wrong
    below = np.concatenate([right[:, ::-1].cumsum(1)[:, ::-1], np.zeros((len(weights), 1))], axis=1)
    first = np.searchsorted(-evidence, -evidence, side="left")
    past = np.searchsorted(-evidence, -evidence, side="right")
    halved = (below[:, first] + below[:, past]) / 2
    positive = weights * wrong
    return (positive * halved).sum(1), positive.sum(1) * right.sum(1)


def _among_first(
    counted: BoolArray, weights: FloatArray, most: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How much of the first `most` counts, and how much that is in all.

    Parameters
    ----------
    counted : (N,), best first
    weights : (R, N)
    most : (R,)
    """
    before = weights.cumsum(1) - weights
    taken = np.clip(most[:, None] - before, 0, weights)
    return (taken * counted).sum(1), most
