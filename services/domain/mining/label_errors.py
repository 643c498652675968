"""Suspected label errors: needles that may be correct detections of unannotated objects.

Follows ObjectLab's overlooked score (Tkachenko, Thyagarajan and Mueller, 2023): a label is probably
missing where the detector is confident and nothing is annotated. The nearest examples count too: a
needle among true positives is suspect, one among other needles is not.
"""

from typing import Final

import numpy as np

from services.domain.arrays import FloatArray, Vectors
from services.domain.mining.failure_model import Examples

NEIGHBOURS: Final = 5
_AT_ONCE: Final = 1000
"""Needles whose similarities are in memory at a time: 16 MB with 2,000 examples."""


def missing_label_suspicion(needles: Vectors, scores: FloatArray, examples: Examples) -> FloatArray:
    """(N,) in [0, 1]: the score times the share of true positives among the nearest examples.

    0 for a needle without examples but its own.

    Parameters
    ----------
    needles : (N, D) vectors of needles of the background type
    scores : (N,)
    examples : of the needles' detector and category; they may include the needles
    """
    if not len(examples.modes) or not len(needles):
        return np.zeros(len(needles))
    right = np.array([mode is None for mode in examples.modes], np.float64)
    shares = [
        _share_right(needles[at : at + _AT_ONCE], examples.vectors, right)
        for at in range(0, len(needles), _AT_ONCE)
    ]
    return np.asarray(scores * np.concatenate(shares))


def _share_right(needles: Vectors, examples: Vectors, right: FloatArray) -> FloatArray:
    """(N,) the share of true positives among the nearest examples of each needle."""
    similar = np.asarray(needles @ examples.T, np.float64)
    similar[similar > _ITSELF] = -np.inf
    count = min(NEIGHBOURS, len(right))
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    # With few examples, the needle's own is among the nearest.
    others = np.isfinite(np.take_along_axis(similar, nearest, axis=1))
    return np.asarray((right[nearest] * others).sum(axis=1) / np.maximum(others.sum(axis=1), 1))


_ITSELF: Final = 1 - 1e-6
"""A vector this similar is the needle's own, or from a copy of its image."""
