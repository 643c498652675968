"""The plane in which vectors differ most: two principal components."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.domain.arrays import FloatArray


@dataclass(frozen=True)
class PrincipalPlane:
    """A projection to two dimensions.

    Attributes
    ----------
    mean : (D,) float64
    axes : (D, 2) float64, orthonormal; the first has the larger variance
    """

    mean: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> Self:
        """The plane of (N, D) vectors, N at least 1; with N of 1 or D of 1, an axis may be zero.

        References
        ----------
        Pearson, "On lines and planes of closest fit to systems of points in space", 1901
        """
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        _, directions = np.linalg.eigh(centred.T @ centred)  # by ascending variance
        axes = np.zeros((vectors.shape[1], 2))
        found = directions[:, ::-1][:, :2]
        axes[:, : found.shape[1]] = found
        # The sign is free; this choice keeps a map from being mirrored when it is drawn again.
        largest = np.abs(axes).argmax(axis=0)
        signs = np.sign(axes[largest, [0, 1]])
        return cls(mean, axes * np.where(signs == 0, 1, signs))

    def coordinates(self, vectors: NDArray[np.float32]) -> FloatArray:
        """(N, 2) float64: the coordinates of (N, D) vectors in the plane."""
        placed: FloatArray = (vectors - self.mean) @ self.axes
        return placed
