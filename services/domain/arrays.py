"""Arrays by the type of their elements."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BitsArray = NDArray[np.uint64]
BoolArray = NDArray[np.bool_]
CountArray = NDArray[np.uint32]
AnyArray = NDArray[Any]
Vector = NDArray[np.float32]
"""(D,) embedding of a frame or a region."""
Vectors = NDArray[np.float32]
"""(N, D) embeddings."""
