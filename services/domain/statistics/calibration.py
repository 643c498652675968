"""How far stated probabilities are from what came true: the expected calibration error.

The mean distance of what was said from the share that came true, over ten bins of equal width,
weighted by how many are in each (Naeini et al., AAAI 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_BINS: Final = 10


@dataclass(frozen=True)
class Calibration:
    """How probable failures were said to be, and how many there were.

    Attributes
    ----------
    error : expected calibration error, 0 to 1
    said, came_true : means over all of them
    """

    error: float
    said: float
    came_true: float
    count: int


def calibration(stated: Sequence[float], came_true: Sequence[bool]) -> Calibration | None:
    """Of probabilities and outcomes in the same order; none of nothing."""
    if not stated:
        return None
    probable, true = np.array(stated, np.float64), np.array(came_true, np.float64)
    bins = np.minimum((probable * _BINS).astype(int), _BINS - 1)
    apart = np.abs(np.bincount(bins, probable - true, _BINS))
    return Calibration(
        error=float(apart.sum() / len(probable)),
        said=float(probable.mean()),
        came_true=float(true.mean()),
        count=len(probable),
    )
