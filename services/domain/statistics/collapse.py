"""Detects collapsed embeddings: all zero, or all the same, as report 2 found."""

import numpy as np
from numpy.typing import NDArray

_ZERO_SHARE = 0.5
_SPREAD = 1e-4
"""With a lower mean of 1 - cosine over all pairs, search cannot distinguish vectors."""


def collapse_of(vectors: NDArray[np.float32]) -> str | None:
    """A description of the collapse; None where there is none.

    Parameters
    ----------
    vectors : (N, D), of unit length, or zero where the network gave zeros
    """
    if len(vectors) <= 1:
        return None
    if not np.isfinite(vectors).all():
        return "vectors hold values that are not numbers"
    lengths = np.linalg.norm(vectors, axis=1)
    zero = float((lengths < 0.5).mean())  # noqa: PLR2004  # they are 0 or 1
    if zero > _ZERO_SHARE:
        return f"{zero:.0%} of the vectors are zero"
    spread = 1 - float(np.linalg.norm(vectors.mean(axis=0, dtype=np.float64)) ** 2)
    if spread < _SPREAD:
        return f"all vectors are the same (1 - cosine is {spread:.1e} on average)"
    return None
