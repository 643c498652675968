"""The expected calibration error: how far predicted probabilities are from observed frequencies.

The mean distance of the two over ten bins of equal width, weighted by the number of predictions in
each (Naeini et al., AAAI 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_BINS: Final = 10


@dataclass(frozen=True)
class Calibration:
    """Predicted probabilities of failure against observed failures.

    Attributes
    ----------
    error : expected calibration error, 0 to 1
    predicted, came_true : means over all predictions
    """

    error: float
    predicted: float
    came_true: float
    count: int


def calibration(stated: Sequence[float], came_true: Sequence[bool]) -> Calibration | None:
    """Compare probabilities with outcomes in the same order; None without any."""
    if not stated:
        return None
    probable, true = np.array(stated, np.float64), np.array(came_true, np.float64)
    bins = np.minimum((probable * _BINS).astype(int), _BINS - 1)
    apart = np.abs(np.bincount(bins, probable - true, _BINS))
    return Calibration(
        error=float(apart.sum() / len(probable)),
        predicted=float(probable.mean()),
        came_true=float(true.mean()),
        count=len(probable),
    )
