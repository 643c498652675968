"""Vectors of unit length, whose dot product is their cosine."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MIN_NORM: Final = 1e-12
"""As in torch's `normalize`: zeros stay zeros."""


def scaled_to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale (…, D) vectors to unit length; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(norms, _MIN_NORM)
    return scaled
