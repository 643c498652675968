# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Compiled kernels: COCO's greedy matching for all 40 settings at once.

A setting is one bit of a 64-bit word, so a few operations on words decide in which settings a
ground truth is still free, and in which a detection takes it. This works because a detection
prefers the same ground truth in every setting: the one with the largest overlap of those that
count, else of those that are ignored, and the later one of equals.
"""

import numpy as np

from services.domain.arrays import BitsArray, BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.coco import AREA_RANGES, MAX_DETECTIONS, THRESHOLDS

_TEN = np.uint64((1 << 10) - 1)
_ALL = np.uint64((1 << 40) - 1)
_NONE = np.uint64(0)
_FIRST = np.uint64(1)
_FEW = 64  # beyond this, insertion sort is slower
_LOWEST = float(THRESHOLDS[0])
_FEW = 32
"""Candidates that are sorted by insertion."""


@compiled
def outside(area: float) -> np.uint64:  # pragma: no cover
    """The settings whose area range excludes this area."""
    word = _NONE
    for a in range(4):
        if area < AREA_RANGES[a, 0] or area > AREA_RANGES[a, 1]:
            word |= _TEN << np.uint64(10 * a)
    return word


@compiled
def _reached(overlap: float) -> np.uint64:  # pragma: no cover
    """The settings whose threshold this overlap reaches."""
    ten = _NONE
    for t in range(10):
        # As in pycocotools: a threshold is at most 1 - 1e-10.
        if overlap >= min(THRESHOLDS[t], 1 - 1e-10):
            ten |= _FIRST << np.uint64(t)
    return ten | ten << np.uint64(10) | ten << np.uint64(20) | ten << np.uint64(30)


@compiled
def overlap_of(one: FloatArray, two: FloatArray, crowd: bool) -> float:  # pragma: no cover
    """IoU of two boxes; over the first one's own area if the second is a crowd."""
    width = min(one[2] + one[0], two[2] + two[0]) - max(one[0], two[0])
    if width <= 0:
        return 0.0
    height = min(one[3] + one[1], two[3] + two[1]) - max(one[1], two[1])
    if height <= 0:
        return 0.0
    shared = width * height
    area = one[2] * one[3]
    return shared / (area if crowd else area + two[2] * two[3] - shared)  # type: ignore[no-any-return]


@compiled
def _box_overlaps(
    box: FloatArray, boxes: FloatArray, crowd: BoolArray, overlaps: FloatArray
) -> None:  # pragma: no cover
    for g in range(len(boxes)):
        overlaps[g] = overlap_of(box, boxes[g], crowd[g])


@compiled
def _candidates(
    overlaps: FloatArray, found: IntArray, reach: FloatArray
) -> int:  # pragma: no cover
    """Collect ground truths above the lowest threshold, largest overlap first; their number.

    Of ground truths with the same overlap, the later one comes first.
    """
    count = 0
    for g in range(overlaps.size):
        if overlaps[g] >= _LOWEST:
            found[count] = g
            count += 1
    _sort(found[:count], overlaps)
    for j in range(count):
        reach[j] = overlaps[found[j]]
    return count


@compiled
def _sort(found: IntArray, overlaps: FloatArray) -> None:  # pragma: no cover
    """Sort ascending indices by descending overlap; of ties, the larger index comes first."""
    if found.size > _FEW:  # thousands of equal boxes would take minutes below
        last_first = found[::-1].copy()
        found[:] = last_first[np.argsort(-overlaps[last_first], kind="mergesort")]
        return
    for i in range(1, found.size):
        g, j = found[i], i
        while j > 0 and overlaps[found[j - 1]] <= overlaps[g]:
            found[j] = found[j - 1]
            j -= 1
        found[j] = g


@compiled
def _match_group(
    order: IntArray,
    boxes: FloatArray,
    areas: FloatArray,
    truths: FloatArray,
    crowd: BoolArray,
    uncounted: BitsArray,
    pairs: FloatArray,
    matched: BitsArray,
    ignored: BitsArray,
    overlaps: FloatArray,
    partner: IntArray,
) -> None:  # pragma: no cover
    """Match one group; see `match_groups` for what is written.

    Parameters
    ----------
    boxes, areas : of the group's detections
    order : (M,) indices of these
    pairs : (M * G,) overlaps, row by row of `order`, with the group's truths; empty for boxes
    """
    count_truths = len(truths)
    taken = np.zeros(count_truths, np.uint64)
    found = np.empty(count_truths, np.int64)
    reach = np.empty(count_truths, np.float64)
    row = np.empty(count_truths, np.float64)
    for d in range(order.size):
        n = order[d]
        if pairs.size:
            row = pairs[d * count_truths : (d + 1) * count_truths]
        else:
            _box_overlaps(boxes[n], truths, crowd, row)
        count = _candidates(row, found, reach)
        pending = _ALL
        for counted in (True, False):
            for c in range(count):
                g = found[c]
                take = pending & _reached(reach[c]) & ~taken[g]
                take &= ~uncounted[g] if counted else uncounted[g]
                pending &= ~take
                matched[d] |= take
                if not counted:
                    ignored[d] |= take
                if not crowd[g]:
                    taken[g] |= take
                if take & _FIRST:
                    overlaps[d] = reach[c]
                    partner[d] = g
        ignored[d] |= pending & outside(areas[n])


@compiled
def best_first(scores: FloatArray, order: IntArray) -> None:  # pragma: no cover
    """Sort indices by descending score, stably, as pycocotools' mergesort does.

    Parameters
    ----------
    order : (N,) out
    """
    if scores.size > _FEW:
        order[:] = np.argsort(-scores, kind="mergesort")
        return
    for i in range(scores.size):
        j = i
        while j > 0 and scores[order[j - 1]] < scores[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@compiled
def match_groups(
    starts: IntArray,
    boxes: FloatArray,
    areas: FloatArray,
    scores: FloatArray,
    truth_starts: IntArray,
    truths: FloatArray,
    truth_areas: FloatArray,
    crowd: BoolArray,
    ignore: BoolArray,
    pair_starts: IntArray,
    pairs: FloatArray,
) -> tuple[
    IntArray, IntArray, BitsArray, BitsArray, FloatArray, IntArray, IntArray
]:  # pragma: no cover
    """Match every group of detections with its group of ground truths.

    Parameters
    ----------
    pair_starts : (K + 1,), see `pairs`
    pairs : (P,) overlaps to match by, row by row: those of group k's best 100 detections, best
        first, with its ground truths are `[pair_starts[k]:pair_starts[k + 1]]`; without any, boxes
        are compared

    Returns
    -------
    kept : (K + 1,) the start of each group, at most 100 detections, best first, in what follows
    source : (M,) index of each detection
    matched, ignored : (M,) 40-bit words
    overlaps : (M,) IoU with the ground truth matched in setting 0, else 0
    partner : (M,) index of that ground truth, else -1
    counts : (K, 4) ground truths that count, per area range
    """
    groups = starts.size - 1
    kept = np.zeros(groups + 1, np.int64)
    for k in range(groups):
        kept[k + 1] = kept[k] + min(starts[k + 1] - starts[k], MAX_DETECTIONS)
    total = kept[groups]
    source = np.empty(total, np.int64)
    matched = np.zeros(total, np.uint64)
    ignored = np.zeros(total, np.uint64)
    overlaps = np.zeros(total, np.float64)
    partner = np.full(total, -1, np.int64)
    counts = np.zeros((groups, 4), np.int64)
    uncounted = np.empty(len(truths), np.uint64)
    for g in range(len(truths)):
        uncounted[g] = _ALL if crowd[g] or ignore[g] else outside(truth_areas[g])
    for k in range(groups):
        first, begin, end = starts[k], truth_starts[k], truth_starts[k + 1]
        kept_rows = slice(kept[k], kept[k + 1])
        for g in range(begin, end):
            for a in range(4):
                counts[k, a] += not uncounted[g] & (_FIRST << np.uint64(10 * a))
        rows = slice(first, starts[k + 1])
        order = np.empty(starts[k + 1] - first, np.int64)
        best_first(scores[rows], order)
        order = order[: kept[k + 1] - kept[k]]
        source[kept_rows] = first + order
        _match_group(
            order,
            boxes[rows],
            areas[rows],
            truths[begin:end],
            crowd[begin:end],
            uncounted[begin:end],
            pairs[pair_starts[k] : pair_starts[k + 1]],
            matched[kept_rows],
            ignored[kept_rows],
            overlaps[kept_rows],
            partner[kept_rows],
        )
        for d in range(kept[k], kept[k + 1]):
            if partner[d] >= 0:
                partner[d] += begin
    return kept, source, matched, ignored, overlaps, partner, counts
