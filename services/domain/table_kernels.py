# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""One pass over two match tables, and one over a table's curves, in machine code."""

import numpy as np

from services.domain.coco import RECALLS, BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.match_table import DETECTION, ERROR_SHIFT, RANK_SHIFT, ROW, Table

_FIRST = np.uint64(1)
_SETTINGS = np.uint64((1 << 40) - 1)
_TEN = np.uint64((1 << 10) - 1)
_SEVEN = np.uint64(127)
_THREE = np.uint64(7)
_TINY = float(np.spacing(1))
_NEAR = 1e-6

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
def _staying(detections: Table, place: IntArray) -> int:  # pragma: no cover
    """How many detections are on rows that stay."""
    for gone in place:
        if gone < 0:
            break
    else:
        return detections.size
    total = 0
    for i in range(detections.size):
        total += place[detections[i]["row"]] >= 0
    return total


@compiled
def _merge_detections(
    old: Table, new: Table, old_place: IntArray, new_place: IntArray
) -> Table:  # pragma: no cover
    """The detections whose rows stay, in order, with their rows' new places."""
    merged = np.empty(_staying(old, old_place) + _staying(new, new_place), DETECTION)
    i = k = 0
    for j in range(new.size):
        to = new_place[new[j]["row"]]
        if to < 0:
            continue
        score = new[j]["score"]
        while i < old.size and old[i]["score"] >= score:
            row = old_place[old[i]["row"]]
            if row >= 0:
                if row > to and old[i]["score"] == score:
                    break
                merged[k] = old[i]
                merged[k]["row"] = row
                k += 1
            i += 1
        merged[k] = new[j]
        merged[k]["row"] = to
        k += 1
    for rest in range(i, old.size):
        row = old_place[old[rest]["row"]]
        if row >= 0:
            merged[k] = old[rest]
            merged[k]["row"] = row
            k += 1
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
def _kept(
    rows: Table, parts: int, since: int, until: int, keep: BoolArray, truths: IntArray
) -> int:  # pragma: no cover
    """Which rows are in the parts and the window, and their ground truths; how many they are."""
    count = 0
    for i in range(rows.size):
        captured = rows[i]["captured"]
        keep[i] = parts >> rows[i]["part"] & 1 and since < captured <= until
        if keep[i]:
            count += 1
            for a in range(4):
                truths[a] += rows[i]["truths"][a]
    return count


@compiled
def tally(
    detections: Table,
    keep: BoolArray,
    starts: IntArray,
    hits: IntArray,
    seen: IntArray,
    few: IntArray,
    areas: int,
) -> int:  # pragma: no cover
    """One pass from the highest score down; how many detections are kept.

    Parameters
    ----------
    starts : (40,) where each setting's part of `seen` begins
    hits : (40,) out, true positives
    seen : out, per setting and true positive, how many detections count down to it
    areas : how many of the four are looked at
    few : (2,) out, true positives of area 0 among each frame's best 1 and best 10
    """
    count = 0
    settings = _SETTINGS >> np.uint64(40 - 10 * areas)
    whole = np.zeros(4, np.int64)  # detections that count in all ten settings of an area
    some = np.zeros(40, np.int64)  # those that count in some, per setting
    for i in range(detections.size):
        if not keep[detections[i]["row"]]:
            continue
        count += 1
        counted = ~detections[i]["ignored"] & settings
        for a in range(areas):
            ten = counted >> np.uint64(10 * a) & _TEN
            if ten == _TEN:
                whole[a] += 1
            elif ten:
                for t in range(10):
                    some[10 * a + t] += np.int64(ten >> np.uint64(t) & _FIRST)
        matched = detections[i]["matched"]
        positive = matched & counted
        rank = matched >> np.uint64(RANK_SHIFT) & _SEVEN
        while positive:
            low = positive & (~positive + _FIRST)
            positive ^= low
            s = _PLACE[low * _MULTIPLIER >> _TOP]
            seen[starts[s] + hits[s]] = whole[s // 10] + some[s]
            hits[s] += 1
            if s < 10:  # noqa: PLR2004  # area 0
                few[0] += rank < 1
                few[1] += rank < 10  # noqa: PLR2004  # COCO's own
    return count


@compiled
def needs_of(truths: int) -> IntArray:  # pragma: no cover
    """(101,) the true positives that first reach each recall."""
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
def _precision(needs: IntArray, hits: int, seen: IntArray) -> float:  # pragma: no cover
    """Precision averaged over the 101 recalls.

    Only a true positive can raise the precision, and only there can a recall be first reached. So
    from the last one back, the best precision yet is the envelope.
    """
    best = total = 0.0
    k = hits
    reached = np.searchsorted(needs, hits, side="right")  # beyond, precision is 0
    for r in range(reached - 1, -1, -1):
        while k >= needs[r]:
            best = max(best, k / (seen[k - 1] + _TINY))
            k -= 1
        if not k:
            total += best * (r + 1)
            break
        total += best
    return total / RECALLS.size


@compiled
def _shown(detections: Table, keep: BoolArray, score: float) -> FloatArray:  # pragma: no cover
    """What is shown from `score` on; see `figures`."""
    shown = np.zeros(8)
    for i in range(detections.size):
        if detections[i]["score"] < score:
            break
        ignored = detections[i]["ignored"]
        if ignored & _FIRST or not keep[detections[i]["row"]]:
            continue
        if detections[i]["matched"] & _FIRST:
            shown[0] += 1
            shown[2] += detections[i]["overlap"]
            continue
        shown[1] += 1
        error = ignored >> np.uint64(ERROR_SHIFT) & _THREE
        if error:
            shown[2 + np.int64(error)] += 1
    return shown


@compiled
def figures(
    rows: Table, detections: Table, parts: int, since: int, until: int, score: float
) -> tuple[FloatArray, int, FloatArray, int, int]:  # pragma: no cover
    """All that is said of one category on the rows of some parts and of a window.

    Parameters
    ----------
    parts : part p as bit p
    since, until : captured after and up to, in microseconds of the epoch

    Returns
    -------
    numbers : (12,) float64, COCO's numbers of the category, NaN where it has no ground truth
    truths : ground truths that count
    shown : (8,) from `score` on: true positives, false positives, the former's overlaps' sum, and
        false positives by type
    count, frames : detections and rows
    """
    keep = np.empty(rows.size, np.bool_)
    truths = np.zeros(4, np.int64)
    frames = _kept(rows, parts, since, until, keep, truths)
    starts = np.zeros(41, np.int64)
    for s in range(40):
        starts[s + 1] = starts[s] + truths[s // 10]
    hits = np.zeros(40, np.int64)
    few = np.zeros(2, np.int64)
    seen = np.empty(starts[40], np.int64)
    count = tally(detections, keep, starts, hits, seen, few, 4)
    numbers = np.full(12, np.nan)
    for a in range(4):
        if truths[a]:
            ten = 0.0
            needs = needs_of(truths[a])
            for s in range(10 * a, 10 * a + 10):
                precision = _precision(needs, hits[s], seen[starts[s] : starts[s + 1]])
                ten += precision
                if s in (0, 5):
                    numbers[1 + s // 5] = precision
            numbers[2 + a if a else 0] = ten / 10
            numbers[8 + a] = hits[10 * a : 10 * a + 10].sum() / (10 * truths[a])
    if truths[0]:
        numbers[6] = few[0] / (10 * truths[0])
        numbers[7] = few[1] / (10 * truths[0])
    return numbers, truths[0], _shown(detections, keep, score), count, frames
