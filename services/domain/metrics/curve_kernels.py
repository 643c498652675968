# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""One pass over a match table's curves, in machine code."""

import numpy as np

from services.domain.compiled import compiled
from services.domain.detection.coco import (
    RECALLS,
    BitsArray,
    BoolArray,
    CountArray,
    FloatArray,
    IntArray,
)
from services.domain.metrics.match_table import ERROR_SHIFT, IGNORED_SHIFT, RANK_SHIFT, Table
from services.domain.metrics.table_kernels import Tables

_NONE = np.uint64(0)
_FIRST = np.uint64(1)
_SETTINGS = np.uint64((1 << 40) - 1)
_TEN = np.uint64((1 << 10) - 1)
_SEVEN = np.uint64(127)
_THREE = np.uint64(7)
_IGNORED = np.uint64(IGNORED_SHIFT)
_RANK = np.uint64(RANK_SHIFT)
_ERROR = np.uint64(ERROR_SHIFT)
_HIGH = np.uint64(255 << 32)
_LONG = np.uint64(10)
_NEAR = 1e-6
_RUN = 16
"""True positives that `precision` skips at once where none can raise the envelope."""

# The index of the lowest bit, by de Bruijn multiplication (Leiserson, Prokop and Randall, 1998).
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACE = np.zeros(64, np.uint64)
for _place in range(64):
    _PLACE[(_DE_BRUIJN << _place & (1 << 64) - 1) >> 58] = _place
_MULTIPLIER = np.uint64(_DE_BRUIJN)
_TOP = np.uint64(58)
_AREA = np.arange(40, dtype=np.uint64) // 10
"""(40,) the area range of a setting."""
_BITS = np.array([ten.bit_count() for ten in range(1 << 10)])
"""(1024,) the number of bits set."""


@compiled
def _lowest(word: np.uint64) -> np.uint64:  # pragma: no cover
    """The index of the lowest bit that is set."""
    return np.uint64(_PLACE[(word & (~word + _FIRST)) * _MULTIPLIER >> _TOP])


@compiled
def _inside(row: np.void, parts: int, since: int, until: int) -> int:  # pragma: no cover
    """Whether a row is in the parts and the window."""
    captured = row["captured"]
    inside: int = (parts >> row["part"] & 1) & (since < captured) & (captured <= until)
    return inside


@compiled
def _kept(
    rows: Table, parts: int, since: int, until: int, keep: BoolArray, truths: IntArray
) -> int:  # pragma: no cover
    """Mark the rows in the parts and the window, sum their ground truths, and count them."""
    count = 0
    for i in range(rows.size):
        inside = _inside(rows[i], parts, since, until)
        keep[i] = inside
        count += inside
        for a in range(4):
            truths[a] += inside * rows[i]["truths"][a]
    return count


@compiled
def tally(
    detections: Table,
    keep: BoolArray,
    ends: BitsArray,
    seen: CountArray,
    few: IntArray,
    settings: np.uint64,
) -> int:  # pragma: no cover
    """One pass from the highest score down; returns the number of detections kept.

    Few branches depend on the detection, because mispredicted branches dominate the run time.

    Parameters
    ----------
    ends : (40,) where each setting's part of `seen` begins; out: where it ends
    seen : out, per setting and true positive, how many detections count down to it
    few : (2,) out, true positives of area 0 within each frame's best 1 and best 10
    settings : the settings to count, setting s as bit s
    """
    count = 0
    whole = np.zeros(4, np.uint64)  # detections that count in all ten settings of an area
    some = np.zeros(40, np.uint64)  # those that count in some, per setting
    for i in range(detections.size):
        if not keep[detections[i]["row"]]:
            continue
        count += 1
        matched = detections[i]["matched"]
        ignored = detections[i]["ignored"] | matched >> _IGNORED & _HIGH
        counted = ~ignored & settings
        partly = False
        for a in range(4):
            ten = counted >> np.uint64(10 * a) & _TEN
            whole[a] += np.uint64(ten == _TEN)
            partly |= (ten != _TEN) & (ten != _NONE)
        if partly:
            for a in range(4):
                ten = counted >> np.uint64(10 * a) & _TEN
                for t in range(10 if ten != _TEN else 0):
                    some[10 * a + t] += ten >> np.uint64(t) & _FIRST
        positive = matched & counted
        if positive:
            rank = matched >> _RANK & _SEVEN
            hits = _BITS[positive & _TEN]
            few[0] += hits * (rank < _FIRST)
            few[1] += hits * (rank < _LONG)
        while positive:
            s = _lowest(positive)
            positive &= positive - _FIRST
            seen[ends[s]] = whole[_AREA[s]] + some[s]
            ends[s] += _FIRST
    return count


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
def precision(needs: IntArray, seen: CountArray) -> float:  # pragma: no cover
    """Precision averaged over the 101 recalls.

    Precision rises and recalls are reached only at true positives. Going back from the last one,
    the envelope is therefore the largest precision so far.

    Parameters
    ----------
    needs : see `needs_of`
    seen : (hits,) detections down to each true positive
    """
    best = total = 0.0
    last = seen.size
    for r in range(RECALLS.size - 1, -1, -1):
        while last >= needs[r]:
            first = max(last - _RUN + 1, needs[r])
            # Bound of a run: the precision of its last hit at the rank of its first.
            if last > best * seen[first - 1]:
                for k in range(first, last + 1):
                    best = max(best, k / seen[k - 1])
            last = first - 1
        total += best
    return total / RECALLS.size


@compiled
def _shown(detections: Table, keep: BoolArray, score: float) -> FloatArray:  # pragma: no cover
    """Counts of detections from `score` on; see `figures`."""
    shown = np.zeros(8)
    for i in range(detections.size):
        if detections[i]["score"] < score:
            break
        matched = detections[i]["matched"]
        counted = keep[detections[i]["row"]] & ~detections[i]["ignored"] & 1
        right = counted & matched & _FIRST
        shown[0] += right
        shown[1] += counted & ~right
        shown[2] += right * detections[i]["overlap"]
        error = matched >> _ERROR & _THREE
        if error and counted:
            shown[np.uint64(2) + error] += 1
    return shown


@compiled
def _numbers(
    detections: Table, keep: BoolArray, truths: IntArray, numbers: FloatArray
) -> int:  # pragma: no cover
    """Compute COCO's numbers of one category; returns the number of detections kept."""
    starts = np.zeros(41, np.uint64)
    for s in range(40):
        starts[s + 1] = starts[s] + np.uint64(truths[s // 10])
    ends = starts[:40].copy()
    few = np.zeros(2, np.int64)
    seen = np.empty(starts[40], np.uint32)
    count = tally(detections, keep, ends, seen, few, _SETTINGS)
    numbers[:] = np.nan
    for a in range(4):
        if truths[a]:
            ten = 0.0
            hits = 0
            needs = needs_of(truths[a])
            for s in range(10 * a, 10 * a + 10):
                mean = precision(needs, seen[starts[s] : ends[s]])
                ten += mean
                hits += ends[s] - starts[s]
                if s in (0, 5):
                    numbers[1 + s // 5] = mean
            numbers[2 + a if a else 0] = ten / 10
            numbers[8 + a] = hits / (10 * truths[a])
    if truths[0]:
        numbers[6] = few[0] / (10 * truths[0])
        numbers[7] = few[1] / (10 * truths[0])
    return count


@compiled
def figures(
    all_rows: Tables,
    all_detections: Tables,
    curves: IntArray,
    parts: int,
    since: int,
    until: int,
    score: float,
    numbers: FloatArray,
    shown: FloatArray,
    counts: IntArray,
) -> None:  # pragma: no cover
    """Compute the figures of these curves on the rows within these parts and a window.

    Parameters
    ----------
    curves : numbers of the tables
    parts : part p as bit p
    since, until : captured after and up to, in microseconds of the epoch
    numbers : (C, 12) out, by table: COCO's numbers, NaN where there is no ground truth
    shown : (C, 8) out, from `score` on: true positives, false positives, the former's overlaps'
        sum, and false positives by type
    counts : (C, 3) out, detections, rows, and ground truths that count
    """
    for k in curves:
        rows, detections = all_rows[k], all_detections[k]
        keep = np.empty(rows.size, np.bool_)
        truths = np.zeros(4, np.int64)
        counts[k, 1] = _kept(rows, parts, since, until, keep, truths)
        counts[k, 2] = truths[0]
        counts[k, 0] = _numbers(detections, keep, truths, numbers[k])
        shown[k] = _shown(detections, keep, score)


@compiled
def moved(
    all_rows: Tables,
    curves: IntArray,
    parts: int,
    before: tuple[int, int],
    after: tuple[int, int],
    out: BoolArray,
) -> None:  # pragma: no cover
    """Mark the curves with rows of these parts that enter or leave a moving window.

    Parameters
    ----------
    before, after : the window's `since` and `until`
    out : (C,) by table
    """
    for k in curves:
        out[k] = False
        rows = all_rows[k]
        for i in range(rows.size):
            captured = rows[i]["captured"]
            was = before[0] < captured <= before[1]
            out[k] |= parts >> rows[i]["part"] & 1 and was != (after[0] < captured <= after[1])


@compiled
def seen_frames(
    all_rows: Tables, curves: IntArray, parts: int, since: int, until: int, seen: BoolArray
) -> None:  # pragma: no cover
    """Mark the frames with a match in any of these curves, within these parts and a window.

    Parameters
    ----------
    seen : (frames,) out, by number: set where a frame has one
    """
    for k in curves:
        rows = all_rows[k]
        for i in range(rows.size):
            if _inside(rows[i], parts, since, until):
                seen[rows[i]["frame"]] = True
