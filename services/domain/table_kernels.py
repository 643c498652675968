# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""One pass over two match tables, and one over a table's curves, in machine code."""

import numpy as np

from services.domain.coco import RECALLS, BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.match_table import DETECTION, ERROR_SHIFT, RANK_SHIFT, ROW, Table

_FIRST = np.uint64(1)
_SETTINGS = np.uint64((1 << 40) - 1)
_AREA_BITS = np.uint64(1 | 1 << 10 | 1 << 20 | 1 << 30)
_SEVEN = np.uint64(127)
_THREE = np.uint64(7)
_TINY = float(np.spacing(1))

# The place of the lowest bit, by de Bruijn multiplication (Leiserson, Prokop and Randall, 1998).
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACE = np.zeros(64, np.int64)
for _place in range(64):
    _PLACE[(_DE_BRUIJN << _place & (1 << 64) - 1) >> 58] = _place
_MULTIPLIER = np.uint64(_DE_BRUIJN)
_TOP = np.uint64(58)


@compiled
def _merge_rows(
    old: Table, new: Table, ranks: IntArray, old_place: IntArray, new_place: IntArray
) -> tuple[int, int]:  # pragma: no cover
    """Where each row goes, -1 for nowhere; how many there will be, and the parts that change."""
    i = j = count = changed = 0
    while i < old.size or j < new.size:
        if j == new.size:
            take = -1
        elif i == old.size:
            take = 1
        else:
            a, b = ranks[old[i]["frame"]], ranks[new[j]["frame"]]
            take = -1 if a < b else 1 if b < a else 0
        if take == 0 and new[j]["revision"] <= old[i]["revision"]:
            new_place[j] = -1
            j += 1
            continue
        if take < 0:
            old_place[i] = count
            i += 1
        else:
            if take == 0:
                changed |= 1 << old[i]["part"]
                old_place[i] = -1
                i += 1
            changed |= 1 << new[j]["part"]
            new_place[j] = count
            j += 1
        count += 1
    return count, changed


@compiled
def _skip(detections: Table, place: IntArray, i: int) -> int:  # pragma: no cover
    """The next detection from `i` on whose row stays."""
    while i < detections.size and place[detections[i]["row"]] < 0:
        i += 1
    return i


@compiled
def _merge_detections(
    old: Table, new: Table, old_place: IntArray, new_place: IntArray
) -> Table:  # pragma: no cover
    """The detections whose rows stay, in order, with their rows' new places."""
    total = 0
    for i in range(old.size):
        total += old_place[old[i]["row"]] >= 0
    for j in range(new.size):
        total += new_place[new[j]["row"]] >= 0
    merged = np.empty(total, DETECTION)
    i = _skip(old, old_place, 0)
    j = _skip(new, new_place, 0)
    for k in range(total):
        if j == new.size:
            left = True
        elif i == old.size:
            left = False
        elif old[i]["score"] == new[j]["score"]:
            left = old_place[old[i]["row"]] < new_place[new[j]["row"]]
        else:
            left = old[i]["score"] > new[j]["score"]
        if left:
            merged[k] = old[i]
            merged[k]["row"] = old_place[old[i]["row"]]
            i = _skip(old, old_place, i + 1)
        else:
            merged[k] = new[j]
            merged[k]["row"] = new_place[new[j]["row"]]
            j = _skip(new, new_place, j + 1)
    return merged


@compiled
def join(
    old_rows: Table, old: Table, new_rows: Table, new: Table, ranks: IntArray
) -> tuple[Table, Table, int]:  # pragma: no cover
    """Rows, detections and changed parts of two tables together; see `MatchTable.join`."""
    old_place = np.empty(old_rows.size, np.int64)
    new_place = np.empty(new_rows.size, np.int64)
    count, changed = _merge_rows(old_rows, new_rows, ranks, old_place, new_place)
    rows = np.empty(count, ROW)
    for i in range(old_rows.size):
        if old_place[i] >= 0:
            rows[old_place[i]] = old_rows[i]
    for j in range(new_rows.size):
        if new_place[j] >= 0:
            rows[new_place[j]] = new_rows[j]
    merged = _merge_detections(old, new, old_place, new_place)
    return rows, merged, changed


@compiled
def _due(truths: int) -> IntArray:  # pragma: no cover
    """How many of the 101 recalls are first reached by the k-th true positive, for each k."""
    due = np.zeros(truths + 2, np.int64)
    if not truths:
        return due
    due[1] = 1  # recall 0
    for r in range(1, RECALLS.size):
        k = int(RECALLS[r] * truths)
        while k > 0 and k / truths >= RECALLS[r]:
            k -= 1
        while k / truths < RECALLS[r]:
            k += 1
        due[k] += 1
    return due


@compiled
def _tally(
    detections: Table,
    keep: BoolArray,
    score: float,
    hits: IntArray,
    seen: IntArray,
    early: IntArray,
    shown: FloatArray,
) -> int:  # pragma: no cover
    """Count what each setting ends with, and what is shown from `score` on; see `figures`."""
    count = 0
    for i in range(detections.size):
        if not keep[detections[i]["row"]]:
            continue
        count += 1
        matched, ignored = detections[i]["matched"], detections[i]["ignored"]
        counted = ~ignored & _SETTINGS
        positive = matched & counted
        for s in range(40):
            hits[s] += np.int64(positive >> np.uint64(s) & _FIRST)
            seen[s] += np.int64(counted >> np.uint64(s) & _FIRST)
        if positive:
            rank = np.int64(matched >> np.uint64(RANK_SHIFT) & _SEVEN)
            for t in range(10):
                hit = np.int64(positive >> np.uint64(t) & _FIRST)
                early[0, t] += hit * (rank < 1)
                early[1, t] += hit * (rank < 10)  # noqa: PLR2004  # COCO's own
        if detections[i]["score"] >= score and counted & _FIRST:
            if positive & _FIRST:
                shown[0] += 1
                shown[2] += detections[i]["overlap"]
            else:
                shown[1] += 1
                error = np.int64(ignored >> np.uint64(ERROR_SHIFT) & _THREE)
                if error:
                    shown[2 + error] += 1
    return count


@compiled
def _precision(
    detections: Table, keep: BoolArray, truths: IntArray, hits: IntArray, seen: IntArray
) -> FloatArray:  # pragma: no cover
    """(40,) precision averaged over the 101 recalls; `hits` and `seen` are used up.

    From the lowest score up, so that the best precision yet is the envelope. Only a true positive
    can raise it, and only there can a recall be first reached.
    """
    due = (_due(truths[0]), _due(truths[1]), _due(truths[2]), _due(truths[3]))
    best = np.zeros(40)
    total = np.zeros(40)
    for i in range(detections.size - 1, -1, -1):
        if not keep[detections[i]["row"]]:
            continue
        counted = ~detections[i]["ignored"] & _SETTINGS
        positive = detections[i]["matched"] & counted
        while positive:
            low = positive & (~positive + _FIRST)
            positive ^= low
            s = _PLACE[np.int64(low * _MULTIPLIER >> _TOP)]
            precision = hits[s] / (seen[s] + _TINY)
            best[s] = max(best[s], precision)
            total[s] += due[s // 10][hits[s]] * best[s]
            hits[s] -= 1
        for s in range(40):
            seen[s] -= np.int64(counted >> np.uint64(s) & _FIRST)
    return total / RECALLS.size


@compiled
def figures(
    rows: Table, detections: Table, keep: BoolArray, score: float
) -> tuple[FloatArray, IntArray, FloatArray, int]:  # pragma: no cover
    """All that is said of one category on the rows that `keep` names.

    Returns
    -------
    numbers : (12,) float64, COCO's numbers of the category, NaN where it has no ground truth
    truths : (4,) ground truths per area range
    shown : (8,) from `score` on: true positives, false positives, their overlaps' sum, and the
        false positives by type
    count : detections
    """
    truths = np.zeros(4, np.int64)
    for i in range(rows.size):
        if keep[i]:
            for a in range(4):
                truths[a] += rows[i]["truths"][a]
    hits = np.zeros(40, np.int64)
    seen = np.zeros(40, np.int64)
    early = np.zeros((2, 10), np.int64)
    shown = np.zeros(8)
    count = _tally(detections, keep, score, hits, seen, early, shown)
    numbers = np.full(12, np.nan)
    for a in range(4):
        if truths[a]:
            numbers[8 + a] = hits[10 * a : 10 * a + 10].sum() / (10 * truths[a])
    precision = _precision(detections, keep, truths, hits, seen)
    for a in range(4):
        if truths[a]:
            numbers[2 + a if a else 0] = precision[10 * a : 10 * a + 10].mean()
    if truths[0]:
        numbers[1], numbers[2] = precision[0], precision[5]
        numbers[6] = early[0].sum() / (10 * truths[0])
        numbers[7] = early[1].sum() / (10 * truths[0])
    return numbers, truths, shown, count
