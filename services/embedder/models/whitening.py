"""PCA whitening: reduces the weight of directions common to all vectors, and their dimension.

It is fitted once on vectors of the user's own images, and stored in the weights' file, once per
pooling.

References
----------
Jégou and Chum, Negative evidences and co-occurrences in image retrieval, ECCV 2012.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings

_FLOOR = 1e-6
"""Share of the largest variance below which a direction counts as noise and is not amplified."""


@dataclass(frozen=True)
class Whitening:
    """`(x - mean) @ projection.T` of a vector of unit length, then scaled to unit length again.

    Attributes
    ----------
    mean : (C,) float32
    projection : (D, C) float32, directions of most variance first, each over its deviation
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]


def fit_whitening(vectors: NDArray[np.float32], dimension: int) -> Whitening:
    """Fit a whitening to `dimension` directions.

    Parameters
    ----------
    vectors : (N, C), of unit length

    Raises
    ------
    InvalidSettings
        There are too few vectors, or they vary in fewer directions.
    """
    count, channels = vectors.shape
    if dimension > channels:
        raise InvalidSettings(f"vectors of {channels} dimensions cannot be whitened to {dimension}")
    if count <= dimension:
        raise InvalidSettings(
            f"{count} vectors are too few for {dimension} dimensions: give more images, or ask for"
            " fewer dimensions"
        )
    mean = vectors.mean(axis=0, dtype=np.float64)
    _, deviations, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    variances = deviations**2 / (count - 1)
    dimensions = int((variances > _FLOOR * variances[0]).sum()) if variances[0] > 0 else 0
    if dimensions < dimension:
        raise InvalidSettings(
            f"the vectors vary in {dimensions} dimensions only: ask for at most {dimensions}"
        )
    directions = directions[:dimension]
    # The solver's signs are arbitrary; make each direction's largest component positive.
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(dimension), largest])[:, None]
    projection = directions / np.sqrt(variances[:dimension, None])
    return Whitening(mean.astype(np.float32), projection.astype(np.float32))
