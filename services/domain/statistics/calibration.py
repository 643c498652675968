"""The expected calibration error: how far predicted probabilities are from observed frequencies.

The mean distance of the two over ten bins of equal width, weighted by the number of predictions in
each (Naeini et al., AAAI 2015). It is above 0 for perfect probabilities too, the more so the fewer
outcomes there are, because frequencies in a bin vary: 30 outcomes give about .15. So it is
compared with what probabilities that are exactly right would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray

_BINS: Final = 10
_DRAWS: Final = 1000
_SEED: Final = 95
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Calibration:
    """Predicted probabilities of failure against observed failures.

    Attributes
    ----------
    error : expected calibration error, 0 to 1
    by_chance : 95% of samples of this size have a smaller error if the probabilities are right
    predicted, came_true : means over all predictions
    """

    error: float
    by_chance: float
    predicted: float
    came_true: float
    count: int


def calibration(stated: Sequence[float], came_true: Sequence[bool]) -> Calibration | None:
    """Compare probabilities with their outcomes, in any order; None without any."""
    if not stated:
        return None
    probable, true = np.array(stated, np.float64), np.array(came_true, np.float64)
    # Each draw belongs to a position. Sorted, so that the order of reading does not matter.
    order = np.lexsort((true, probable))
    probable, true = probable[order], true[order]
    draw = np.random.default_rng(_SEED)
    drawn = [_error(probable, draw.random(len(probable)) < probable) for _ in range(_DRAWS)]
    return Calibration(
        error=_error(probable, true),
        by_chance=float(np.quantile(drawn, _LEVEL)),
        predicted=float(probable.mean()),
        came_true=float(true.mean()),
        count=len(probable),
    )


def _error(probable: FloatArray, true: FloatArray | BoolArray) -> float:
    """The expected calibration error of N probabilities with their outcomes."""
    bins = np.minimum((probable * _BINS).astype(int), _BINS - 1)
    apart = np.abs(np.bincount(bins, probable - true, _BINS))
    return float(apart.sum() / len(probable))
