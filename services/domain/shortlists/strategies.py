"""What a frame on a shortlist is worth: two aims that pull apart, by name.

`worst-frames` looks for the frames on which most is wrong, so that H-S > H > S, and among those for
errors that cost more. `costliest-errors` looks for the errors that cost most average precision:
those with scores above many true positives, in categories with few objects. Which pays how much is
in docs/measurements/shortlists.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from services.domain.detection.coco import BoolArray, FloatArray

_PRIOR_TRUTHS: Final = 2.0
"""Keeps a category with one annotated object from deciding everything."""


@dataclass(frozen=True)
class CategoryStats:
    """How the detector stands in one category, by the annotated reference.

    Attributes
    ----------
    scores : (N,) float64, of all its detections that count
    matched : (N, T) bool, per IoU threshold
    ground_truths : objects that count
    """

    scores: FloatArray
    matched: BoolArray
    ground_truths: int

    @cached_property
    def losses(self) -> tuple[FloatArray, FloatArray]:
        """Negated scores in order, and what true positives from each place on lose by one error.

        Returns
        -------
        (N,) and (N + 1,); the latter summed over the true positives, in their share of precision
        """
        order = np.argsort(-self.scores, kind="stable")
        matched = self.matched[order].astype(np.float64)
        ranks = np.arange(1, len(order) + 1)[:, None]
        loss = (matched * matched.cumsum(axis=0) / ranks**2).mean(axis=1)
        return -self.scores[order], np.append(loss[::-1].cumsum()[::-1], 0.0)


_LEAST_COST: Final = 1e-6
"""Orders errors where nothing is known to be right yet, and so nothing costs anything."""


class Strategy(Protocol):
    """What a region is worth on a shortlist; a frame is worth the sum of its regions."""

    def __call__(
        self, wrong: FloatArray, scores: FloatArray, standing: CategoryStats
    ) -> FloatArray:
        """(N,) at least 0.

        Parameters
        ----------
        wrong : (N,), how probably each region is wrong
        scores : (N,), the detector's
        standing : of the regions' category
        """
        ...


@dataclass(frozen=True)
class Blend:
    """Probable errors, weighed by how rare their category is, and by what they cost.

    By one over the root of the category's objects: mAP weighs categories equally, which would say
    one over their number, and bad frames are bad in all categories, which would say nothing. By the
    average precision that is expected back once the error is gone. By the geometric mean of both.

    Attributes
    ----------
    cost_share : weight of the cost in that mean, from 0 to 1. The more, the more frames come up
        that have true positives beside the error, and the less often H-S > H > S holds
    """

    cost_share: float

    def __call__(
        self, wrong: FloatArray, scores: FloatArray, standing: CategoryStats
    ) -> FloatArray:
        """See `Strategy`."""
        rarity = 1 / np.sqrt(standing.ground_truths + _PRIOR_TRUTHS)
        costs = costs_by_score(scores, standing) + _LEAST_COST
        return np.asarray(wrong * rarity ** (1 - self.cost_share) * costs**self.cost_share)


worst_frames: Final = Blend(cost_share=0.1)
"""The largest tenth with which H-S > H > S held in nine of ten splits where it was chosen."""
costliest_errors: Final = Blend(cost_share=1.0)


def costs_by_score(scores: FloatArray, standing: CategoryStats) -> FloatArray:
    """(N,), what one false positive at each score costs the category's average precision.

    Each true positive ranked below it has precision t / n there; without it, t / (n - 1), which is
    t / n² more, and a 1 / ground_truths of that in the mean over recall.
    """
    ordered, below = standing.losses
    place = np.searchsorted(ordered, -scores, side="left")
    return np.asarray(below[place] / (standing.ground_truths + _PRIOR_TRUTHS))


STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {"worst-frames": worst_frames, "costliest-errors": costliest_errors}
)
"""By the names that `shortlist_strategy` takes."""
