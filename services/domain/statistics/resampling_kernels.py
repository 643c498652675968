# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Compiled kernels: AP under frame weights, and the influence of each frame on AP."""

import numpy as np

from services.domain.arrays import AnyArray, BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.coco import RECALLS
from services.domain.statistics.envelope_kernels import envelope, needs_of


@compiled
def weighted_ap(
    truths: int, frame: AnyArray, positive: AnyArray, counted: AnyArray, weights: IntArray
) -> float:  # pragma: no cover
    """AP over all areas with each frame repeated as often as its weight; NaN if undefined.

    Parameters
    ----------
    truths : the weighted number of ground truths
    frame, positive, counted : (D,) of each detection, see `Sample`
    weights : (F,) not negative, by frame number; a frame of weight 0 is left out
    """
    if not truths:
        return np.nan
    hits = np.empty((10, frame.size), np.int64)
    seen = np.empty((10, frame.size), np.int64)
    counts = np.zeros(10, np.int64)
    right = np.zeros(10, np.int64)
    shown = np.zeros(10, np.int64)
    for i in range(frame.size):
        weight = weights[frame[i]]
        if not weight:
            continue
        for t in range(10):
            if not counted[i] >> t & 1:
                continue
            shown[t] += weight
            if positive[i] >> t & 1:
                right[t] += weight
                hits[t, counts[t]] = right[t]
                seen[t, counts[t]] = shown[t]
                counts[t] += 1
    total = 0.0
    needs = needs_of(truths)
    decides = np.empty(RECALLS.size, np.int64)
    for t in range(10):
        total += envelope(needs, hits[t, : counts[t]], seen[t, : counts[t]], decides)
    return total / 10


@compiled
def _points(
    frame: AnyArray, positive: AnyArray, counted: AnyArray, keep: BoolArray, threshold: int
) -> IntArray:  # pragma: no cover
    """(hits,) the number of detections down to each true positive."""
    seen = np.empty(frame.size, np.int64)
    count = hits = 0
    for i in range(frame.size):
        if keep[frame[i]] and counted[i] >> threshold & 1:
            count += 1
            if positive[i] >> threshold & 1:
                seen[hits] = count
                hits += 1
    return seen[:hits]


@compiled
def _slopes(
    truths: int, seen: IntArray, rise: FloatArray, fall: FloatArray, best: FloatArray
) -> float:  # pragma: no cover
    """Compute a curve's envelope and its derivatives; returns the average precision.

    Parameters
    ----------
    rise, fall : (hits,) out; at a true positive that sets the precision at some recalls, by how
        much one more true positive before it raises, or one more detection lowers, their sum
    best : (hits,) out, the envelope
    """
    decides = np.empty(RECALLS.size, np.int64)
    ap = envelope(needs_of(truths), np.arange(1, seen.size + 1), seen, decides)
    for point in decides:
        if point >= 0:
            rise[point] += 1 / seen[point]
            fall[point] += (point + 1) / seen[point] / seen[point]
    top = 0.0
    for k in range(seen.size - 1, -1, -1):
        top = max(top, (k + 1) / seen[k])
        best[k] = top
    return ap


@compiled
def influence(
    match_frame: AnyArray,
    match_truths: IntArray,
    frame: AnyArray,
    positive: AnyArray,
    counted: AnyArray,
    keep: BoolArray,
    out: FloatArray,
) -> float:  # pragma: no cover
    """AP over all areas, and its derivative with respect to each frame's weight.

    AP is a sum of precisions at recalls. A frame's weight changes the precision (by the frame's
    detections up to that rank), the recall that a true positive reaches, and the number of ground
    truths, the denominator of recall.

    Parameters
    ----------
    match_frame, match_truths : (K,) of each match, and what follows (D,) of each detection: see
        `Sample`
    keep : (F,) bool, the frames that count, by number
    out : (F,) added to

    Returns
    -------
    AP; NaN where there is no ground truth, and then nothing is added.
    """
    truths = 0
    for m in range(match_frame.size):
        truths += match_truths[m] if keep[match_frame[m]] else 0
    if not truths:
        return np.nan
    mean = 0.0
    for t in range(10):
        seen = _points(frame, positive, counted, keep, t)
        rise, fall, best = np.zeros(seen.size), np.zeros(seen.size), np.zeros(seen.size)
        ap = _slopes(truths, seen, rise, fall, best)
        mean += ap / 10
        for m in range(match_frame.size):
            if keep[match_frame[m]]:
                out[match_frame[m]] -= ap * match_truths[m] / truths / 10
        up = down = 0.0
        k = seen.size
        for i in range(frame.size - 1, -1, -1):
            if not keep[frame[i]] or not counted[i] >> t & 1:
                continue
            if positive[i] >> t & 1:
                k -= 1
                up += rise[k] / RECALLS.size
                down += fall[k] / RECALLS.size
                out[frame[i]] += (up + best[k] / truths) / 10
            out[frame[i]] -= down / 10
    return mean
