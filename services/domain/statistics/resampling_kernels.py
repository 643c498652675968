"""Compiled kernels: AP under frame weights, and the influence of each frame on AP."""

import numpy as np

from services.domain.compiled import compiled
from services.domain.detection.coco import RECALLS, BoolArray, CountArray, FloatArray, IntArray
from services.domain.metrics.curve_kernels import needs_of, tally
from services.domain.metrics.match_table import Table

_FIRST = np.uint64(1)
_TEN = np.uint64((1 << 10) - 1)
_TINY = float(np.spacing(1))


@compiled
def _weighted_precision(
    truths: int, hits: IntArray, seen: IntArray, count: int
) -> float:  # pragma: no cover
    """Precision averaged over the 101 recalls, where one detection may add several hits."""
    best = total = 0.0
    needs = needs_of(truths)
    k = count
    for r in range(RECALLS.size - 1, -1, -1):
        while k > 0 and hits[k - 1] >= needs[r]:
            best = max(best, hits[k - 1] / (seen[k - 1] + _TINY))
            k -= 1
        total += best
    return total / RECALLS.size


@compiled
def weighted_ap(rows: Table, detections: Table, weights: IntArray) -> float:  # pragma: no cover
    """AP over all areas with each row's frame repeated as often as its weight; NaN if undefined.

    Parameters
    ----------
    weights : (F,) not negative; a frame of weight 0 is left out
    """
    truths = 0
    for i in range(rows.size):
        truths += weights[i] * rows[i]["truths"][0]
    if not truths:
        return np.nan
    hits = np.empty((10, detections.size), np.int64)
    seen = np.empty((10, detections.size), np.int64)
    counts = np.zeros(10, np.int64)
    right = np.zeros(10, np.int64)
    shown = np.zeros(10, np.int64)
    for i in range(detections.size):
        weight = weights[detections[i]["row"]]
        if not weight:
            continue
        matched, ignored = detections[i]["matched"], detections[i]["ignored"]
        for t in range(10):
            if ignored >> np.uint64(t) & _FIRST:
                continue
            shown[t] += weight
            if matched >> np.uint64(t) & _FIRST:
                right[t] += weight
                hits[t, counts[t]] = right[t]
                seen[t, counts[t]] = shown[t]
                counts[t] += 1
    total = 0.0
    for t in range(10):
        total += _weighted_precision(truths, hits[t], seen[t], counts[t])
    return total / 10


@compiled
def _slopes(
    needs: IntArray, seen: CountArray, rise: FloatArray, fall: FloatArray, best: FloatArray
) -> float:  # pragma: no cover
    """Compute a curve's envelope and its derivatives; returns the average precision.

    Parameters
    ----------
    rise, fall : (hits,) out; at a true positive that sets the precision at some recalls, by how
        much one more true positive before it raises, or one more detection lowers, their sum
    best : (hits,) out, the envelope
    """
    top = total = 0.0
    decides = k = seen.size
    for r in range(RECALLS.size - 1, -1, -1):
        while k >= needs[r]:
            k -= 1
            precision = (k + 1) / seen[k]
            if precision >= top:
                top, decides = precision, k
            best[k] = top
        if needs[r] <= seen.size:
            rise[decides] += 1 / seen[decides]
            fall[decides] += top / seen[decides]
            total += top
    return total / RECALLS.size


@compiled
def influence(
    rows: Table, detections: Table, keep: BoolArray, out: FloatArray
) -> float:  # pragma: no cover
    """AP over all areas, and its derivative with respect to each frame's weight.

    AP is a sum of precisions at recalls. A frame's weight changes the precision (by the frame's
    detections up to that rank), the recall that a true positive reaches, and the number of ground
    truths, the denominator of recall.

    Parameters
    ----------
    keep : (F,) bool, the rows that count
    out : (F,) added to

    Returns
    -------
    AP; NaN where there is no ground truth, and then nothing is added.
    """
    truths = 0
    for i in range(rows.size):
        truths += keep[i] * rows[i]["truths"][0]
    if not truths:
        return np.nan
    starts = np.arange(10) * truths
    ends = np.full(40, 10 * truths, np.uint64)
    ends[:10] = starts
    seen = np.empty(10 * truths, np.uint32)
    tally(detections, keep, ends, seen, np.zeros(2, np.int64), _TEN)
    needs = needs_of(truths)
    mean = 0.0
    for t in range(10):
        seen_rows = seen[starts[t] : ends[t]]
        rise, fall, best = (
            np.zeros(seen_rows.size),
            np.zeros(seen_rows.size),
            np.zeros(seen_rows.size),
        )
        ap = _slopes(needs, seen_rows, rise, fall, best)
        mean += ap / 10
        for i in range(rows.size):
            if keep[i]:
                out[i] -= ap * rows[i]["truths"][0] / truths / 10
        up = down = 0.0
        k = seen_rows.size
        for i in range(detections.size - 1, -1, -1):
            row = detections[i]["row"]
            if not keep[row] or detections[i]["ignored"] >> np.uint64(t) & _FIRST:
                continue
            if detections[i]["matched"] >> np.uint64(t) & _FIRST:
                k -= 1
                up += rise[k] / RECALLS.size
                down += fall[k] / RECALLS.size
                out[row] += (up + best[k] / truths) / 10
            out[row] -= down / 10
    return mean
