"""Similarity of regions to the reference's true positives.

Similarity to a needle alone finds real objects that look like it: the nearest neighbours of a false
positive are mostly correct detections. Evidence therefore compares the similarity to the needle
with the similarity to true positives.
"""

import numpy as np

from services.domain.arrays import FloatArray, Vectors

NEIGHBOURS = 3
"""The number of nearest true positives that are averaged."""


def cosines(rows: Vectors, others: Vectors) -> FloatArray:
    """The cosine of each row with each of the others.

    In float64: in float32, the noise depends on how many rows are multiplied at once, and rounding
    would not remove it.

    Parameters
    ----------
    rows, others : (N, D) and (M, D) float32, unit length

    Returns
    -------
    (N, M) float64
    """
    return np.asarray(rows.astype(np.float64) @ others.T.astype(np.float64))


def true_positive_similarity(
    candidates: Vectors, true_positives: Vectors, neighbours: int = NEIGHBOURS
) -> FloatArray:
    """The similarity of each candidate to its nearest true positives.

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
    similarities = cosines(candidates, true_positives)
    count = min(neighbours, len(true_positives))
    nearest = np.partition(similarities, -count, axis=1)[:, -count:]
    return np.asarray(nearest.mean(axis=1))
