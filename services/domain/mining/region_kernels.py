# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Overlaps of one frame's detections with one another, without a matrix of all pairs.

The kernel sweeps detections by their left edges and compares only those whose extents overlap: time
grows with the overlapping pairs, and memory with the detections.
"""

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.mining.region_features import PAIR_COLUMNS

_LEAF = 128
"""numpy sums this many numbers in one run, and halves longer arrays."""
_LANES = 8
"""numpy sums a run in this many partial sums."""

_ABOVE_IOU = PAIR_COLUMNS.index("above_iou")
_ABOVE_OWN_SHARE = PAIR_COLUMNS.index("above_own_share")
_ABOVE_OTHER_SHARE = PAIR_COLUMNS.index("above_other_share")
_ABOVE_SCORED_IOU = PAIR_COLUMNS.index("above_scored_iou")
_BELOW_IOU = PAIR_COLUMNS.index("below_iou")
_BELOW_SCORED_IOU = PAIR_COLUMNS.index("below_scored_iou")
_BELOW_SCORED_OTHER_SHARE = PAIR_COLUMNS.index("below_scored_other_share")
_RIVAL_IOU = PAIR_COLUMNS.index("rival_iou")
_RIVAL_SCORED_IOU = PAIR_COLUMNS.index("rival_scored_iou")
_RIVAL_SCORED_OWN_SHARE = PAIR_COLUMNS.index("rival_scored_own_share")
_SUMMED_IOU = PAIR_COLUMNS.index("summed_iou")


@compiled
def split_at(count: int) -> int:  # pragma: no cover
    """The index at which numpy halves a sum of `count` numbers."""
    half = count // 2
    return half - half % _LANES


@compiled
def _run_sum(values: FloatArray) -> float:  # pragma: no cover
    """The sum of at most 128 numbers, in numpy's order."""
    total: float = 0.0
    if values.size < _LANES:
        for value in values:
            total += value
        return total
    whole = values.size - values.size % _LANES
    lanes = values[:_LANES].copy()
    for start in range(_LANES, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane] += values[start + lane]
    total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )
    for place in range(whole, values.size):
        total += values[place]
    return total


@compiled
def _pair_columns(
    boxes: FloatArray,
    scores: FloatArray,
    categories: IntArray,
    place: IntArray,
    counts: BoolArray,
    order: IntArray,
    reach: FloatArray,
    starts: IntArray,
    merges: IntArray,
    columns: FloatArray,
) -> None:  # pragma: no cover
    """Write the columns that `pair_columns` returns.

    Parameters
    ----------
    order : (N,) the detections by their left edges
    reach : (N,) the right-most edge among the detections up to there, in that order
    starts, merges : the tree of a sum over N numbers, see `sum_tree`
    """
    sorted_boxes, sorted_scores = boxes[order], scores[order]
    leaf_of = np.searchsorted(starts, np.arange(scores.size), side="right") - 1
    shared = np.zeros(scores.size, np.float64)
    sums = np.zeros(starts.size - 1 + len(merges), np.float64)
    touched = np.empty(scores.size, np.int64)
    for i in range(scores.size):
        left, top, width, height = boxes[i]
        right, bottom, area = width + left, height + top, width * height
        row = columns[i]
        many = 0
        for at in range(np.searchsorted(reach, left, side="right"), scores.size):
            x, y, across, along = sorted_boxes[at]
            if x >= right:
                break
            # As in `overlap_of`, operation by operation: the results are the same bit by bit.
            common = min(right, across + x) - max(left, x)
            deep = min(bottom, along + y) - max(top, y)
            j = order[at]
            if common <= 0 or deep <= 0 or j == i or not counts[j]:
                continue
            common *= deep
            other = across * along
            overlap = common / (area + other - common)
            score = sorted_scores[at]
            if categories[i] != categories[j]:
                share = common / area * score
                row[_RIVAL_IOU] = max(row[_RIVAL_IOU], overlap)
                row[_RIVAL_SCORED_IOU] = max(row[_RIVAL_SCORED_IOU], overlap * score)
                row[_RIVAL_SCORED_OWN_SHARE] = max(row[_RIVAL_SCORED_OWN_SHARE], share)
                continue
            if place[j] < place[i]:
                row[_ABOVE_IOU] = max(row[_ABOVE_IOU], overlap)
                row[_ABOVE_OWN_SHARE] = max(row[_ABOVE_OWN_SHARE], common / area)
                row[_ABOVE_OTHER_SHARE] = max(row[_ABOVE_OTHER_SHARE], common / other)
                row[_ABOVE_SCORED_IOU] = max(row[_ABOVE_SCORED_IOU], overlap * score)
            else:
                share = common / other * score
                row[_BELOW_IOU] = max(row[_BELOW_IOU], overlap)
                row[_BELOW_SCORED_IOU] = max(row[_BELOW_SCORED_IOU], overlap * score)
                row[_BELOW_SCORED_OTHER_SHARE] = max(row[_BELOW_SCORED_OTHER_SHARE], share)
            shared[j] = overlap
            touched[many] = j
            many += 1
        if many:
            row[_SUMMED_IOU] = _sum(shared, touched[:many], leaf_of, starts, merges, sums)


@compiled
def _sum(
    values: FloatArray,
    touched: IntArray,
    leaf_of: IntArray,
    starts: IntArray,
    merges: IntArray,
    sums: FloatArray,
) -> float:  # pragma: no cover
    """Sum the values, of which only the touched ones are not 0, and reset those to 0."""
    sums[:] = 0.0
    leaves = starts.size - 1
    for j in touched:
        leaf = leaf_of[j]
        if sums[leaf] == 0.0:
            sums[leaf] = _run_sum(values[starts[leaf] : starts[leaf + 1]])
    for m in range(len(merges)):
        sums[leaves + m] = sums[merges[m, 0]] + sums[merges[m, 1]]
    for j in touched:
        values[j] = 0.0
    return sums[sums.size - 1]  # type: ignore[no-any-return]


def sum_tree(count: int) -> tuple[IntArray, IntArray]:
    """How numpy splits a sum of `count` numbers: rounding depends on it.

    Returns
    -------
    starts : (L + 1,) where each run of at most 128 numbers starts
    merges : (L - 1, 2) the two partial sums that each merge adds; runs have the first numbers
    """
    starts: list[int] = []
    merges: list[tuple[int, int]] = []

    def part(start: int, size: int) -> int:
        """Split recursively; run n is coded as -1 - n until the number of runs is known."""
        if size <= _LEAF:
            starts.append(start)
            return -len(starts)
        left = split_at(size)
        merges.append((part(start, left), part(start + left, size - left)))
        return len(merges) - 1

    part(0, count)
    merged = np.array(merges, np.int64).reshape(-1, 2)
    return (
        np.array([*starts, count], np.int64),
        np.where(merged < 0, -1 - merged, len(starts) + merged),
    )


def pair_columns(
    boxes: FloatArray, scores: FloatArray, categories: IntArray, counts: BoolArray
) -> FloatArray:
    """Overlap features of each detection with the others on its frame.

    Parameters
    ----------
    boxes : (N, 4) float64, [x, y, width, height] in pixels, of positive size
    scores : (N,) float64
    categories : (N,) int64
    counts : (N,) bool, whether a detection counts as a companion of others

    Returns
    -------
    (N, 11) float64, see `PAIR_COLUMNS`; 0 without a companion
    """
    place = np.empty(len(scores), np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    order = np.argsort(boxes[:, 0], kind="stable")
    reach = np.maximum.accumulate((boxes[:, 2] + boxes[:, 0])[order])
    columns = np.zeros((len(scores), len(PAIR_COLUMNS)))
    starts, merges = sum_tree(len(scores))
    _pair_columns(boxes, scores, categories, place, counts, order, reach, starts, merges, columns)
    return columns
