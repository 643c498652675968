"""Features with mean 0 and deviation 1: a ridge then shrinks the weights of all of them alike."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.arrays import FloatArray

_NO_DEVIATION: Final = 0.01
"""A feature that deviates less is only centred: its differences are chance or rounding."""


@dataclass(frozen=True)
class Standardisation:
    """The mean and the deviation of K features on some rows, to standardise others alike.

    Attributes
    ----------
    mean, deviation : (K,)
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, rows: FloatArray) -> Self:
        """That of (N, K) rows."""
        deviation = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(deviation > _NO_DEVIATION, deviation, 1.0))

    def applied(self, rows: FloatArray) -> FloatArray:
        """(N, K) rows, standardised."""
        return np.asarray((rows - self.mean) / self.deviation)
