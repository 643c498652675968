# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Finds, inserts and removes detections in a curve's blocks; see `match_index`."""

import numpy as np

from services.domain.arrays import AnyArray, IntArray
from services.domain.compiled import compiled
from services.domain.metrics import plane_kernels
from services.domain.metrics.index_layout import BLOCK, CURVES, SPARE_BLOCKS, Index
from services.domain.metrics.plane_kernels import signed

_HALF = BLOCK // 2


@compiled
def _after(
    ranks: IntArray,
    score: float,
    frame: int,
    place: int,
    other_score: float,
    other_frame: int,
    other_place: int,
) -> bool:  # pragma: no cover
    """Whether a detection comes after another one in COCO's order, or is the same."""
    if score != other_score:
        return score < other_score
    if frame != other_frame:
        return bool(ranks[frame] > ranks[other_frame])
    return place >= other_place


@compiled
def _block_at(
    index: Index, ranks: IntArray, curve: int, score: float, frame: int, place: int
) -> int:  # pragma: no cover
    """Where in `order` the block is in which a detection belongs; the curve has a block."""
    low, high = index.begins[curve], index.begins[curve + 1]
    first = low
    while low < high:
        middle = (low + high) >> 1
        if _after(
            ranks,
            score,
            frame,
            place,
            index.key_score[middle],
            index.key_frame[middle],
            index.key_place[middle],
        ):
            low = middle + 1
        else:
            high = middle
    return signed(max(low - 1, first))


@compiled
def _place_in(
    index: Index, ranks: IntArray, block: int, score: float, frame: int, place: int
) -> int:  # pragma: no cover
    """The number of detections in a block that come before this one."""
    low, high = 0, index.sizes[block]
    while low < high:
        middle = (low + high) >> 1
        if not _after(
            ranks,
            index.block_score[block, middle],
            index.row_frame[index.block_row[block, middle]],
            index.block_place[block, middle],
            score,
            frame,
            place,
        ):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def place_of(index: Index, block: int, row: int, place: int) -> int:  # pragma: no cover
    """Where in a block a row's detection is."""
    rows, places = index.block_row[block], index.block_place[block]
    for k in range(index.sizes[block]):
        if rows[k] == row and places[k] == place:
            return k
    return -1  # unreachable: `block_of` names this block


@compiled
def _move_up(column: AnyArray, first: int, end: int, by: int) -> None:  # pragma: no cover
    """Move some elements of a column up; those between are left as they are."""
    # Numba checks an index for being negative unless it comes from a range over a whole array.
    source, target = column[first:end], column[first + by : end + by]
    for k in range(source.size - 1, -1, -1):
        target[k] = source[k]


@compiled
def _move_down(column: AnyArray, first: int, end: int) -> None:  # pragma: no cover
    """Move some elements of a column down by one."""
    source, target = column[first:end], column[first - 1 : end - 1]
    for k in range(source.size):
        target[k] = source[k]


@compiled
def open_blocks(index: Index, curve: int, at: int, count: int) -> None:  # pragma: no cover
    """Insert empty blocks of a curve into the order, from `at` on; they are spare."""
    curves = index.used[CURVES]
    end = index.begins[curves]
    _move_up(index.order, at, end, count)
    _move_up(index.key_score, at, end, count)
    _move_up(index.key_frame, at, end, count)
    _move_up(index.key_place, at, end, count)
    index.begins[curve + 1 : curves + 1] += count
    for k in range(at, at + count):
        index.used[SPARE_BLOCKS] -= 1
        block = index.spare[index.used[SPARE_BLOCKS]]
        index.order[k] = block
        index.sizes[block] = 0
        index.planes[block] = 0


@compiled
def _close_block(index: Index, curve: int, at: int) -> None:  # pragma: no cover
    """Take an empty block out of the order."""
    curves = index.used[CURVES]
    index.spare[index.used[SPARE_BLOCKS]] = index.order[at]
    index.used[SPARE_BLOCKS] += 1
    end = index.begins[curves]
    _move_down(index.order, at + 1, end)
    _move_down(index.key_score, at + 1, end)
    _move_down(index.key_frame, at + 1, end)
    _move_down(index.key_place, at + 1, end)
    index.begins[curve + 1 : curves + 1] -= 1


@compiled
def set_key(index: Index, at: int) -> None:  # pragma: no cover
    """Note the first detection of the block at this place of the order."""
    block = index.order[at]
    index.key_score[at] = index.block_score[block, 0]
    index.key_frame[at] = index.row_frame[index.block_row[block, 0]]
    index.key_place[at] = index.block_place[block, 0]


@compiled
def _split(index: Index, curve: int, at: int) -> None:  # pragma: no cover
    """Move the upper half of a full block into a new one behind it."""
    open_blocks(index, curve, at + 1, 1)
    block, upper = index.order[at], index.order[at + 1]
    plane_kernels.split(index.planes[block], index.planes[upper])
    index.block_score[upper, :_HALF] = index.block_score[block, _HALF:]
    index.block_row[upper, :_HALF] = index.block_row[block, _HALF:]
    index.block_place[upper, :_HALF] = index.block_place[block, _HALF:]
    for k in range(_HALF):
        row = index.block_row[upper, k]
        index.block_of[index.rows[row]["start"] + index.block_place[upper, k]] = upper
    index.sizes[block] = index.sizes[upper] = _HALF
    set_key(index, at + 1)


@compiled
def insert(
    index: Index,
    ranks: IntArray,
    row: int,
    place: int,
    score: float,
    positive: np.uint64,
    counted: np.uint64,
) -> None:  # pragma: no cover
    """Insert a detection of a row into its block."""
    match = index.rows[row]
    curve, frame = match["curve"], index.row_frame[row]
    if index.begins[curve] == index.begins[curve + 1]:
        open_blocks(index, curve, index.begins[curve], 1)
    at = _block_at(index, ranks, curve, score, frame, place)
    if index.sizes[index.order[at]] == BLOCK:
        _split(index, curve, at)
        at = _block_at(index, ranks, curve, score, frame, place)
    block = index.order[at]
    size = index.sizes[block]
    slot = _place_in(index, ranks, block, score, frame, place)
    _move_up(index.block_score[block], slot, size, 1)
    _move_up(index.block_row[block], slot, size, 1)
    _move_up(index.block_place[block], slot, size, 1)
    index.block_score[block, slot] = score
    index.block_row[block, slot] = row
    index.block_place[block, slot] = place
    belonging = plane_kernels.belongs(match["part"], match["windows"], place)
    plane_kernels.insert(index.planes[block], size, slot, positive, counted, belonging)
    index.sizes[block] = size + 1
    index.block_of[match["start"] + place] = block
    if slot == 0:
        set_key(index, at)


@compiled
def remove(index: Index, ranks: IntArray, row: int, place: int) -> None:  # pragma: no cover
    """Remove a detection of a row from its block."""
    match = index.rows[row]
    curve = match["curve"]
    block = index.block_of[match["start"] + place]
    gone = place_of(index, block, row, place)
    size = index.sizes[block]
    at = -1
    if gone == 0:
        score = index.block_score[block, 0]
        at = _block_at(index, ranks, curve, score, index.row_frame[row], place)
    plane_kernels.remove(index.planes[block], size, gone)
    _move_down(index.block_score[block], gone + 1, size)
    _move_down(index.block_row[block], gone + 1, size)
    _move_down(index.block_place[block], gone + 1, size)
    index.sizes[block] = size - 1
    if size == 1:
        _close_block(index, curve, at)
    elif gone == 0:
        set_key(index, at)
