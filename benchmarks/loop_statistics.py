"""Paired comparisons over seeds, and what annotation costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.arrays import FloatArray

SECONDS_PER_FRAME: Final = 5.0
"""To look at a frame, objects or not: an assumption, which `--seconds-per-frame` changes."""
SECONDS_PER_BOX: Final = 7.0
"""To draw a box by extreme clicking (Papadopoulos et al. 2017, section 4)."""
_T_975: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""97.5% quantiles of Student's t with 1 to 20 degrees of freedom."""
_NORMAL_975: Final = 1.96
_T_80: Final = 0.88
"""About the 80% quantile of Student's t with nine degrees of freedom."""


@dataclass(frozen=True)
class PairedDifference:
    """The mean of differences over seeds, with its 95% interval (Student's t).

    Attributes
    ----------
    detectable : the smallest true difference that such an interval excludes zero for in four of
        five repetitions; infinite with one seed, as the interval is
    """

    mean: float
    low: float
    high: float
    detectable: float
    seeds: int


def paired_difference(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Compare `first` with `second`, which belong to the same seeds in the same order.

    Raises
    ------
    ValueError
        The lengths differ, or there is nothing to compare.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} values are not paired")
    gaps: FloatArray = np.subtract(first, second)
    mean, seeds = float(gaps.mean()), len(first)
    if seeds == 1:
        return PairedDifference(mean, -math.inf, math.inf, math.inf, seeds)
    error = float(gaps.std(ddof=1)) / math.sqrt(seeds)
    wide = _t_975(seeds - 1) * error
    return PairedDifference(mean, mean - wide, mean + wide, wide + _T_80 * error, seeds)


def _t_975(freedom: int) -> float:
    return _T_975[freedom - 1] if freedom <= len(_T_975) else _NORMAL_975


@dataclass(frozen=True)
class CostModel:
    """Annotator seconds: for every frame, and for every box on it."""

    per_frame_s: float = SECONDS_PER_FRAME
    per_box_s: float = SECONDS_PER_BOX

    def seconds(self, frames: float, boxes: float) -> float:
        """What frames with these many boxes cost."""
        return frames * self.per_frame_s + boxes * self.per_box_s
