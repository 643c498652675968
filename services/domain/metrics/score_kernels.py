# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""One pass over a curve's detections, best first: what precision and recall are at each score."""

import numpy as np

from services.domain.arrays import AnyArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.coco import RECALLS
from services.domain.metrics.index_layout import COUNTED, PART, TRUTHS, Index
from services.domain.statistics.envelope_kernels import needs_of

_ONE = np.uint64(1)


@compiled
def truths_of(index: Index, curve: int, parts: int) -> int:  # pragma: no cover
    """The ground truths of a curve within these parts."""
    total = 0
    for part in range(3):
        for windows in range(8):
            if parts >> part & 1:
                total += index.totals[curve, part, windows, TRUTHS]
    return total


@compiled
def kept(index: Index, curve: int, parts: int) -> tuple[FloatArray, AnyArray]:  # pragma: no cover
    """Score and state at IoU .5 of a curve's detections within these parts, best first.

    Returns
    -------
    scores : (D,) float64
    states : (D,) uint8, 0 for ignored, 1 for a false positive, 2 for a true positive
    """
    blocks = index.order[index.begins[curve] : index.begins[curve + 1]]
    total = 0
    for block in blocks:
        total += index.sizes[block]
    scores, states = np.empty(total), np.empty(total, np.uint8)
    d = 0
    for block in blocks:
        planes = index.planes[block]
        for k in range(index.sizes[block]):
            word, bit = k >> 6, np.uint64(k & 63)
            inside = np.uint64(0)
            for part in range(3):
                if parts >> part & 1:
                    inside |= planes[word, PART + part]
            if inside >> bit & _ONE:
                scores[d] = index.block_score[block, k]
                right = planes[word, 0] >> bit & _ONE
                counts = planes[word, COUNTED] >> bit & _ONE
                states[d] = counts + (counts & right)
                d += 1
    return scores[:d], states[:d]


@compiled
def sweep(
    scores: FloatArray,
    states: AnyArray,
    truths: int,
    grid: FloatArray,
    precision: FloatArray,
    reached: FloatArray,
    counts: IntArray,
) -> tuple[float, int, int]:  # pragma: no cover
    """Go down the scores, and note what precision and recall are.

    Parameters
    ----------
    scores, states : see `kept`
    truths : above 0
    grid : (T,) ascending scores
    precision : (101,) out, zeros; the largest precision from each recall on
    reached : (101,) out, zeros; the score at which each recall is reached
    counts : (T, 2) out, zeros; true positives and detections that count, from each score on

    Returns
    -------
    The score from which F1 is largest, and there true positives and detections that count. Of
    equals, the highest score; (1, 0, 0) without true positives.
    """
    needs = needs_of(truths)
    hits = seen = r = 0
    g = grid.size - 1
    best, best_hits, best_seen = 1.0, 0, 0
    for d in range(scores.size):
        while g >= 0 and grid[g] > scores[d]:
            counts[g, 0], counts[g, 1] = hits, seen
            g -= 1
        seen += states[d] > 0
        hits += states[d] > 1
        if states[d] > 1:
            while r < RECALLS.size and hits >= needs[r]:
                reached[r] = scores[d]
                r += 1
            precision[r - 1] = max(precision[r - 1], hits / seen)
        last = d + 1 == scores.size or scores[d + 1] < scores[d]
        # F1 is 2 hits / (seen + truths); compared as products, without rounding.
        if last and hits * (best_seen + truths) > best_hits * (seen + truths):
            best, best_hits, best_seen = scores[d], hits, seen
    counts[: g + 1, 0], counts[: g + 1, 1] = hits, seen
    for r in range(RECALLS.size - 2, -1, -1):
        precision[r] = max(precision[r], precision[r + 1])
    if scores.size:
        reached[0] = scores[0]  # as pycocotools: that of the first detection, ignored or not
    return best, best_hits, best_seen
