# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Compiled kernels that build a match table, and join two in one pass."""

from collections.abc import MutableSequence

import numba
import numpy as np
from numba.typed import List

from services.domain.compiled import compiled
from services.domain.detection.coco import BitsArray, FloatArray, IntArray
from services.domain.detection.match_kernels import best_first
from services.domain.metrics.match_table import (
    DETECTION,
    ERROR_SHIFT,
    IGNORED_SHIFT,
    RANK_SHIFT,
    ROW,
    Table,
)

_LOW = np.uint64(32)


_ROWS = numba.from_dtype(ROW)[::1]
_DETECTIONS = numba.from_dtype(DETECTION)[::1]
Tables = MutableSequence[Table]
"""Numba's typed list: compiled code can replace its arrays without the GIL."""


@compiled
def no_tables() -> tuple[Tables, Tables]:  # pragma: no cover
    """Empty lists of rows and of detections."""
    return List.empty_list(_ROWS), List.empty_list(_DETECTIONS)


@compiled
def append(all_rows: Tables, all_detections: Tables) -> None:  # pragma: no cover
    """Append an empty curve."""
    all_rows.append(np.empty(0, ROW))
    all_detections.append(np.empty(0, DETECTION))


@compiled
def table(
    all_rows: Tables, all_detections: Tables, k: int
) -> tuple[Table, Table]:  # pragma: no cover
    """One curve's rows and detections."""
    return all_rows[k], all_detections[k]


@compiled
def put(
    all_rows: Tables, all_detections: Tables, k: int, rows: Table, detections: Table
) -> None:  # pragma: no cover
    """Replace one curve's rows and detections."""
    all_rows[k] = rows
    all_detections[k] = detections


@compiled
def detections(
    bounds: IntArray,
    starts: IntArray,
    scores: FloatArray,
    overlaps: FloatArray,
    matched: BitsArray,
    ignored: BitsArray,
    errors: IntArray,
) -> Table:  # pragma: no cover
    """Each curve's detections in COCO's order; `row` counts from the curve's first match.

    Parameters
    ----------
    bounds : (C + 1,) index of each curve's first match
    starts : (K + 1,) index of each match's first detection; for the others see `Cells`
    """
    found = np.empty(scores.size, DETECTION)
    order = np.empty(scores.size, np.int64)
    match = np.empty(scores.size, np.int64)
    for c in range(bounds.size - 1):
        first, end = starts[bounds[c]], starts[bounds[c + 1]]
        for k in range(bounds[c], bounds[c + 1]):
            match[starts[k] : starts[k + 1]] = k
        # Stable: equal scores of a curve stay in the order of their frames, and on them.
        best_first(scores[first:end], order[first:end])
        for i in range(first, end):
            d = first + order[i]
            found[i]["score"] = scores[d]
            found[i]["row"] = match[d] - bounds[c]
            found[i]["overlap"] = overlaps[d]
            found[i]["ignored"] = ignored[d]
            found[i]["matched"] = (
                matched[d]
                | ignored[d] >> _LOW << np.uint64(32 + IGNORED_SHIFT)
                | np.uint64(d - starts[match[d]]) << np.uint64(RANK_SHIFT)
                | np.uint64(errors[d]) << np.uint64(ERROR_SHIFT)
            )
    return found


@compiled
def _merge_rows(
    old: Table, new: Table, ranks: IntArray, old_place: IntArray, new_place: IntArray
) -> tuple[int, int]:  # pragma: no cover
    """Compute each row's new index, -1 if dropped; returns the new size and the changed parts."""
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
    """The number of detections on rows that stay."""
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
    """Merge the detections whose rows stay, in order, with the new indices of their rows."""
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
def _insert_detections(old: Table, new: Table, new_place: IntArray) -> Table:  # pragma: no cover
    """Like `_merge_detections`, if all old rows stay in place before the new ones: copies runs."""
    merged = np.empty(old.size + new.size, DETECTION)
    i = 0
    for j in range(new.size):
        score = new[j]["score"]
        first = i
        while i < old.size and old[i]["score"] >= score:
            i += 1
        merged[first + j : i + j] = old[first:i]
        merged[i + j] = new[j]
        merged[i + j]["row"] = new_place[new[j]["row"]]
    merged[i + new.size :] = old[i:]
    return merged


@compiled
def _join(
    old_rows: Table, old: Table, new_rows: Table, new: Table, ranks: IntArray
) -> tuple[Table, Table, int]:  # pragma: no cover
    """Join two tables; returns rows, detections and changed parts."""
    rows = np.empty(old_rows.size + new_rows.size, ROW)
    last = old_rows.size - 1
    if new_rows.size and (last < 0 or ranks[old_rows[last]["frame"]] < ranks[new_rows[0]["frame"]]):
        changed = 0
        for row in new_rows:
            changed |= 1 << row["part"]
        rows[: old_rows.size] = old_rows
        rows[old_rows.size :] = new_rows
        places = old_rows.size + np.arange(new_rows.size)
        return rows, _insert_detections(old, new, places), changed
    old_place = np.empty(old_rows.size, np.int64)
    new_place = np.empty(new_rows.size, np.int64)
    count, changed = _merge_rows(old_rows, new_rows, ranks, old_place, new_place)
    for i in range(old_rows.size):
        if old_place[i] >= 0:
            rows[old_place[i]] = old_rows[i]
    for j in range(new_rows.size):
        if new_place[j] >= 0:
            rows[new_place[j]] = new_rows[j]
    merged = _merge_detections(old, new, old_place, new_place)
    return rows[:count].copy(), merged, changed


@compiled
def join(
    all_rows: Tables,
    all_detections: Tables,
    curves: IntArray,
    batch: IntArray,
    rows: Table,
    row_bounds: IntArray,
    found: Table,
    bounds: IntArray,
    ranks: IntArray,
    changed: IntArray,
) -> None:  # pragma: no cover
    """Join tables of a batch with their curves' tables; see `MatchTables.join`.

    Parameters
    ----------
    batch : indices of the batch's tables to join
    """
    for b in batch:
        k = curves[b]
        joined, merged, changed[b] = _join(
            all_rows[k],
            all_detections[k],
            rows[row_bounds[b] : row_bounds[b + 1]],
            found[bounds[b] : bounds[b + 1]],
            ranks,
        )
        if changed[b]:
            all_rows[k] = joined
            all_detections[k] = merged
