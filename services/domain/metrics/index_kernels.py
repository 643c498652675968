# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Adds, replaces and moves matches in the index, and counts them; see `match_index`."""

import numpy as np

from services.domain.arrays import IntArray
from services.domain.compiled import compiled
from services.domain.metrics import block_kernels, plane_kernels
from services.domain.metrics.index_layout import (
    CHUNK,
    COUNTS,
    DETECTIONS,
    ERROR,
    ERRORS,
    LATEST,
    OVERLAP,
    OVERLAPS,
    RIGHT,
    RIGHTS,
    ROWS,
    SHOWN,
    SPARE_BLOCKS,
    TRUTHS,
    USED_PLACES,
    USED_ROWS,
    WRONGS,
    Batch,
    Criteria,
    Index,
)
from services.domain.metrics.plane_kernels import signed

_HASH = np.uint64(0x9E3779B97F4A7C15)
_CURVE = np.uint64(32)
_OVERLAP_BITS = 2 * OVERLAP - 1


@compiled
def _slot(index: Index, curve: int, frame: int) -> int:  # pragma: no cover
    """The slot of a curve's row of a frame, or the empty one where it belongs."""
    mask = index.slots.size - 1
    mixed = (np.uint64(curve) << _CURVE | np.uint64(frame)) * _HASH
    slot = signed(mixed >> _CURVE) & mask
    while True:
        row = index.slots[slot]
        if row < 0 or (index.row_frame[row] == frame and index.rows[row]["curve"] == curve):
            return slot
        slot = slot + 1 & mask


@compiled
def rehash(index: Index) -> None:  # pragma: no cover
    """Put all rows into an empty hash table."""
    for row in range(index.used[USED_ROWS]):
        slot = _slot(index, index.rows[row]["curve"], index.row_frame[row])
        index.slots[slot] = row


@compiled
def _changes(part: int, windows: int) -> int:  # pragma: no cover
    """What changes with a row: bit `4 * part` for all time, and those behind for each window."""
    return (1 | windows << 1) << 4 * part


@compiled
def _count(index: Index, row: int, sign: int) -> None:  # pragma: no cover
    """Add a row to the totals, or subtract it."""
    match = index.rows[row]
    part, windows = signed(match["part"]), signed(match["windows"])
    totals = index.totals[match["curve"], part, windows]
    totals[ROWS] += sign
    totals[DETECTIONS] += sign * signed(match["size"])
    for a in range(4):
        totals[TRUTHS + a] += sign * signed(match["truths"][a])
    for k in range(match["start"], match["start"] + match["size"]):
        mark = signed(index.marks[k])
        if not mark >> SHOWN & 1:
            break  # the best come first
        right, counts = mark >> RIGHT & 1, mark >> COUNTS & 1
        totals[RIGHTS] += sign * right
        totals[WRONGS] += sign * (counts - right)
        totals[OVERLAPS] += sign * right * (mark & _OVERLAP_BITS)
        error = mark >> ERROR & 7
        if error and counts:
            totals[ERRORS + error - 1] += sign
    _see(index, index.detector[match["curve"]], index.row_frame[row], part, sign)


@compiled
def _see(index: Index, detector: int, frame: int, part: int, sign: int) -> None:  # pragma: no cover
    """Add a row to those of a detector, frame and part, or subtract it."""
    seen = index.seen[detector, frame]
    before = after = 0
    for p in range(3):
        before |= (seen[p] > 0) << p
    seen[part] += sign
    for p in range(3):
        after |= (seen[p] > 0) << p
    index.seen_in[detector, before] -= 1
    index.seen_in[detector, after] += 1


@compiled
def _windows(captured: int, criteria: Criteria) -> int:  # pragma: no cover
    """The windows that a capture time is in, window w as bit w."""
    windows = 0
    for w in range(criteria.lengths.size):
        windows |= (criteria.until - criteria.lengths[w] < captured <= criteria.until) << w
    return windows


@compiled
def _due(captured: int, criteria: Criteria) -> int:  # pragma: no cover
    """The end of the windows from which on a capture time is in others than now."""
    if captured > criteria.until:
        return captured
    due = LATEST
    for w in range(criteria.lengths.size):
        if captured + criteria.lengths[w] > criteria.until:
            due = min(due, captured + criteria.lengths[w])
    return due


@compiled
def _watch(index: Index, row: int, criteria: Criteria) -> None:  # pragma: no cover
    """Note when a row next enters or leaves a window, and its capture time."""
    chunk, captured = row // CHUNK, index.rows[row]["captured"]
    index.due[chunk] = min(index.due[chunk], _due(captured, criteria))
    index.latest[chunk] = max(index.latest[chunk], captured)


@compiled
def _places(index: Index, size: int) -> int:  # pragma: no cover
    """The first of as many free places as a match has detections."""
    freed = index.freed[size]
    if freed >= 0:
        index.freed[size] = signed(index.block_of[freed])
        return signed(freed)
    first = signed(index.used[USED_PLACES])
    index.used[USED_PLACES] += size
    return first


@compiled
def _drop(index: Index, row: int, criteria: Criteria) -> int:  # pragma: no cover
    """Take a row's contents out of the index; returns what changes."""
    match = index.rows[row]
    size = signed(match["size"])
    for place in range(size):
        block_kernels.remove(index, criteria.ranks, row, place)
    _count(index, row, -1)
    if size:
        index.block_of[match["start"]] = index.freed[size]
        index.freed[size] = match["start"]
    chunk = row // CHUNK
    if match["captured"] == index.latest[chunk]:
        first = chunk * CHUNK
        latest = -LATEST
        for k in range(first, min(first + CHUNK, index.used[USED_ROWS])):
            if k != row:
                latest = max(latest, index.rows[k]["captured"])
        index.latest[chunk] = latest
    return _changes(signed(match["part"]), signed(match["windows"]))


@compiled
def _write(
    index: Index, row: int, start: int, batch: Batch, k: int, criteria: Criteria
) -> int:  # pragma: no cover
    """Write a match into a row, but not into blocks; returns what changes.

    Parameters
    ----------
    start : the first of the places for its detections
    """
    first, size = batch.starts[k], batch.starts[k + 1] - batch.starts[k]
    match = index.rows[row]
    match["curve"], index.row_frame[row] = batch.curve[k], batch.frame[k]
    match["start"], match["size"] = start, size
    match["captured"], match["revision"] = batch.captured[k], batch.revision[k]
    match["part"] = batch.part[k]
    match["windows"] = _windows(batch.captured[k], criteria)
    for a in range(4):
        match["truths"][a] = batch.truths[k, a]
    for place in range(size):
        index.marks[start + place] = batch.marks[first + place]
    _watch(index, row, criteria)
    _count(index, row, 1)
    return _changes(signed(match["part"]), signed(match["windows"]))


@compiled
def _new_row(index: Index, curve: int, frame: int) -> int:  # pragma: no cover
    """The number of a new row, which is in the hash table."""
    row = signed(index.used[USED_ROWS])
    slot = _slot(index, curve, frame)
    index.used[USED_ROWS] += 1
    index.slots[slot] = row
    # What the hash table compares, before the row is written.
    index.rows[row]["curve"], index.row_frame[row] = curve, frame
    return row


@compiled
def add(
    index: Index, batch: Batch, first: int, criteria: Criteria, changed: IntArray
) -> int:  # pragma: no cover
    """Add matches from the `first` on; the higher revision of a curve and frame wins.

    Parameters
    ----------
    changed : (C,) out, by curve: bit `4 * part` if figures over all time change, and bit
        `4 * part + 1 + w` if those within window w do

    Returns
    -------
    The number of the first match that was not added, because spare blocks may not suffice.
    """
    for k in range(first, batch.curve.size):
        size = batch.starts[k + 1] - batch.starts[k]
        # At most one block for each detection, and one for a curve that has none.
        if index.used[SPARE_BLOCKS] <= size:
            return k
        curve, frame = batch.curve[k], batch.frame[k]
        row = signed(index.slots[_slot(index, curve, frame)])
        if row < 0:
            row = _new_row(index, curve, frame)
        elif batch.revision[k] <= index.rows[row]["revision"]:
            continue
        else:
            changed[curve] |= _drop(index, row, criteria)
        changed[curve] |= _write(index, row, _places(index, size), batch, k, criteria)
        for place in range(size):
            d = batch.starts[k] + place
            words = batch.positive[d], batch.counted[d]
            block_kernels.insert(index, criteria.ranks, row, place, batch.scores[d], *words)
    return batch.curve.size


@compiled
def append(
    index: Index, batch: Batch, order: IntArray, criteria: Criteria, changed: IntArray
) -> None:  # pragma: no cover
    """Write matches of new curves, whose blocks `fill_kernels` fills afterwards.

    Parameters
    ----------
    order : (N,) int64, indices of the matches, by curve and rank, one of each curve and frame
    """
    for k in order:
        row = _new_row(index, batch.curve[k], batch.frame[k])
        start = index.used[USED_PLACES]  # not a former match's places: these follow one another
        index.used[USED_PLACES] += batch.starts[k + 1] - batch.starts[k]
        changed[batch.curve[k]] |= _write(index, row, start, batch, k, criteria)


@compiled
def slide(
    index: Index, criteria: Criteria, before: int, changed: IntArray
) -> None:  # pragma: no cover
    """Move the rows whose windows change, as the end of all windows moves to `criteria.until`.

    Parameters
    ----------
    before : the end of the windows so far
    changed : (C,) out, as in `add`
    """
    rows = index.used[USED_ROWS]
    for chunk in range(-(-rows // CHUNK)):
        if before <= criteria.until < index.due[chunk]:
            continue
        due = LATEST
        for row in range(chunk * CHUNK, min((chunk + 1) * CHUNK, rows)):
            captured = index.rows[row]["captured"]
            due = min(due, _due(captured, criteria))
            windows = _windows(captured, criteria)
            if windows != index.rows[row]["windows"]:
                changed[index.rows[row]["curve"]] |= _move(index, row, windows)
        index.due[chunk] = due


@compiled
def _move(index: Index, row: int, windows: int) -> int:  # pragma: no cover
    """Move a row to other windows; returns what changes."""
    match = index.rows[row]
    before = signed(match["windows"])
    _count(index, row, -1)
    match["windows"] = windows
    _count(index, row, 1)
    for place in range(signed(match["size"])):
        block = index.block_of[match["start"] + place]
        belonging = plane_kernels.belongs(match["part"], windows, place)
        plane_kernels.assign(
            index.planes[block], block_kernels.place_of(index, block, row, place), belonging
        )
    return (before ^ windows) << 4 * signed(match["part"]) + 1
