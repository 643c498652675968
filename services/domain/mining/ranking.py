"""How much a region resembles others: what is known to be right, first of all.

Similarity alone finds true objects that look like the needle: nearest neighbours of a false
positive are mostly right. So what counts is how much closer a region is to the needle than to the
reference's true positives.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

NEIGHBOURS = 3
"""How many true positives speak for a region being right."""


def true_positive_similarity(
    candidates: Vectors, true_positives: Vectors, neighbours: int = NEIGHBOURS
) -> Floats:
    """How much each candidate resembles the true positives nearest to it.

    Parameters
    ----------
    candidates : (N, D) float32, unit length
    true_positives : (T, D) float32, unit length

    Returns
    -------
    (N,) float64, mean cosine to the `neighbours` most similar ones; 0 where there are none
    """
    if not len(true_positives):
        return np.zeros(len(candidates))
    similarities = np.asarray(candidates @ true_positives.T, dtype=np.float64)
    count = min(neighbours, len(true_positives))
    nearest = np.partition(similarities, -count, axis=1)[:, -count:]
    return np.asarray(nearest.mean(axis=1))
