"""Intervals from random draws."""

from typing import Final

import numpy as np

from services.domain.arrays import FloatArray

_LEVELS: Final = (0.025, 0.975)


def middle_95(draws: FloatArray) -> tuple[float, float]:
    """The bounds of the middle 95% of the draws; NaNs are left out."""
    low, high = np.nanquantile(draws, _LEVELS)
    return float(low), float(high)
