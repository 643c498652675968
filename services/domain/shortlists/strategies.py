"""Strategies: what a frame on a shortlist is worth.

`worst-frames` prefers frames with most errors, so that H-S > H > S, and among those, errors that
cost more. `costliest-errors` prefers the errors that cost most average precision: those with scores
above many true positives, in categories with few objects. `label-efficiency` takes these for a part
of the budget. docs/measurements/shortlists.md compares their yields.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from services.domain.arrays import BoolArray, FloatArray

_PRIOR_TRUTHS: Final = 2.0
"""Added to the count of objects, so that a category with one object does not dominate."""


@dataclass(frozen=True)
class CategoryStats:
    """The detector's scores and matches in one category, on the annotated reference.

    Attributes
    ----------
    scores : (N,) float64, of all detections that are not ignored
    matched : (N, T) bool, per IoU threshold
    ground_truths : number of annotated objects that are not ignored
    """

    scores: FloatArray
    matched: BoolArray
    ground_truths: int

    def digest(self) -> bytes:
        """Identifies these statistics."""
        content = sha256(str(self.ground_truths).encode())
        content.update(np.ascontiguousarray(self.scores).tobytes())
        content.update(np.ascontiguousarray(self.matched).tobytes())
        return content.digest()

    @cached_property
    def losses(self) -> tuple[FloatArray, FloatArray]:
        """Ascending negated scores, and the precision lost by one error inserted at each rank.

        Returns
        -------
        (N,) and (N + 1,); the latter is summed over the true positives from that rank on
        """
        order = np.argsort(-self.scores, kind="stable")
        matched = self.matched[order].astype(np.float64)
        ranks = np.arange(1, len(order) + 1)[:, None]
        loss = (matched * matched.cumsum(axis=0) / ranks**2).mean(axis=1)
        return -self.scores[order], np.append(loss[::-1].cumsum()[::-1], 0.0)


_MIN_COST: Final = 1e-6
"""Keeps the order of errors where there is no true positive yet, so that no error has a cost."""


class Strategy(Protocol):
    """The worth of regions on a shortlist; a frame is worth the sum of its regions."""

    def __call__(self, wrong: FloatArray, scores: FloatArray, stats: CategoryStats) -> FloatArray:
        """(N,) at least 0.

        Parameters
        ----------
        wrong : (N,), the probability that each region is wrong
        scores : (N,), the detector's scores
        stats : of the regions' category
        """
        ...


@dataclass(frozen=True)
class Blend:
    """The probability of an error, times the weighted geometric mean of its rarity and its cost.

    Rarity is one over the square root of the category's number of objects. mAP weighs categories
    equally, which suggests one over their number; but bad frames are bad in all categories, which
    suggests no weight. The cost is the average precision that correcting the error gains.

    Attributes
    ----------
    cost_share : weight of the cost in that mean, from 0 to 1. A larger weight selects more frames
        with true positives next to the error, and H-S > H > S holds less often
    """

    cost_share: float

    def __call__(self, wrong: FloatArray, scores: FloatArray, stats: CategoryStats) -> FloatArray:
        """See `Strategy`."""
        rarity = rarity_of(stats.ground_truths)
        costs = costs_by_score(scores, stats) + _MIN_COST
        return np.asarray(wrong * rarity ** (1 - self.cost_share) * costs**self.cost_share)


worst_frames: Final = Blend(cost_share=0.1)
"""The largest share, in steps of .1, with which H-S > H > S held in nine of ten splits."""
costliest_errors: Final = Blend(cost_share=1.0)


def rarity_of(ground_truths: int) -> float:
    """One over the square root of a category's number of objects, and two."""
    return 1 / math.sqrt(ground_truths + _PRIOR_TRUTHS)


def costs_by_score(scores: FloatArray, stats: CategoryStats) -> FloatArray:
    """(N,), what one false positive at each score costs the category's average precision.

    Each true positive ranked below it has precision t / n there; without it, t / (n - 1), which is
    t / n² more, and a 1 / ground_truths of that in the mean over recall.
    """
    ordered, below = stats.losses
    rank = np.searchsorted(ordered, -scores, side="left")
    return np.asarray(below[rank] / (stats.ground_truths + _PRIOR_TRUTHS))


LABEL_EFFICIENCY: Final = "label-efficiency"
"""Errors are worth what they cost, and get a part of the budget only: see `purposes`."""
STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "worst-frames": worst_frames,
        "costliest-errors": costliest_errors,
        LABEL_EFFICIENCY: costliest_errors,
    }
)
"""By the names that `shortlist_strategy` takes."""
