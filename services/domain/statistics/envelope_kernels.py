"""AP from the points of a precision-recall curve: the 101-point envelope."""

import numpy as np

from services.domain.arrays import IntArray
from services.domain.compiled import compiled
from services.domain.detection.coco import RECALLS

_NEAR = 1e-6


@compiled
def needs_of(truths: int) -> IntArray:  # pragma: no cover
    """(101,) the number of true positives that reaches each recall."""
    needs = np.empty(RECALLS.size, np.int64)
    for r in range(RECALLS.size):
        exact = RECALLS[r] * truths
        need = int(exact) + 1
        if exact - (need - 1) < _NEAR or need - exact < _NEAR:  # rounding may decide
            need = max(need - 2, 0)
            while need / truths < RECALLS[r]:
                need += 1
        needs[r] = max(need, 1)
    return needs


@compiled
def envelope(
    needs: IntArray, hits: IntArray, seen: IntArray, decides: IntArray
) -> float:  # pragma: no cover
    """Precision averaged over the 101 recalls: at each, the largest from there on.

    Precision rises, and recalls are reached, only at true positives, so these are the points.

    Parameters
    ----------
    needs : see `needs_of`
    hits, seen : (N,) true positives and detections down to each point, both ascending
    decides : (101,) out, the point that sets the precision at each recall; -1 where it is 0
    """
    best = total = 0.0
    point, k = -1, hits.size
    for r in range(RECALLS.size - 1, -1, -1):
        while k > 0 and hits[k - 1] >= needs[r]:
            k -= 1
            precision = hits[k] / seen[k]
            if precision >= best:
                best, point = precision, k
        decides[r] = point
        total += best
    return total / RECALLS.size
