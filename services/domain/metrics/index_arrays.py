"""The arrays of the match index: how they begin, how they grow, and how much of them is used.

Arrays are replaced by larger ones, with room for a quarter more. Memory of zeros is used only when
it is written to, so the room costs nothing, and a copy happens ever more rarely.
"""

from typing import Any, Final

import numpy as np

from services.domain.arrays import AnyArray
from services.domain.metrics.index_layout import (
    BLOCK,
    CHUNK,
    EARLIEST,
    LATEST,
    PLANES,
    ROW,
    SPARE_BLOCKS,
    TOTALS,
    WINDOWS,
    WORDS,
    Index,
)

_GROWTH: Final = 1.25
_OF_BLOCKS: Final = ("planes", "block_score", "block_row", "block_place", "sizes", "spare")
_OF_ORDER: Final = ("order", "key_score", "key_frame", "key_place")


def empty() -> Index:
    """An index without any room."""

    def zeros(*shape: int, dtype: Any = np.int64) -> AnyArray:
        return np.zeros(shape, dtype)

    return Index(
        rows=zeros(0, dtype=ROW),
        row_frame=zeros(0, dtype=np.int32),
        slots=np.full(16, -1, np.int32),
        block_of=zeros(0, dtype=np.int32),
        marks=zeros(0, dtype=np.uint32),
        freed=np.full(256, -1, np.int64),
        planes=zeros(0, WORDS, PLANES, dtype=np.uint64),
        block_score=zeros(0, BLOCK, dtype=np.float64),
        block_row=zeros(0, BLOCK, dtype=np.int32),
        block_place=zeros(0, BLOCK, dtype=np.uint8),
        sizes=zeros(0),
        spare=zeros(0, dtype=np.int32),
        order=zeros(0, dtype=np.int32),
        key_score=zeros(0, dtype=np.float64),
        key_frame=zeros(0, dtype=np.int32),
        key_place=zeros(0, dtype=np.uint8),
        begins=zeros(1),
        totals=zeros(0, 3, 1 << WINDOWS, TOTALS),
        due=zeros(0),
        latest=zeros(0),
        detector=zeros(0),
        seen=zeros(0, 0, 3, dtype=np.uint16),
        seen_in=zeros(0, 8),
        used=zeros(4),
    )


def with_rows(index: Index, rows: int) -> Index:
    """The index with room for so many rows; the hash table is not grown."""
    if rows <= index.rows.size:
        return index
    held = _grown(index.rows, rows)
    chunks = -(-held.size // CHUNK)
    return index._replace(
        rows=held,
        row_frame=_grown(index.row_frame, rows),
        due=_grown(index.due, chunks, LATEST),
        latest=_grown(index.latest, chunks, EARLIEST),
    )


def with_places(index: Index, places: int) -> Index:
    """The index with room for so many detections outside of blocks."""
    if places <= index.marks.size:
        return index
    block_of = _grown(index.block_of, places)
    return index._replace(block_of=block_of, marks=_grown(index.marks, places))


def with_spare_blocks(index: Index, spare: int) -> Index:
    """The index with at least so many spare blocks."""
    had, stacked = index.spare.size, int(index.used[SPARE_BLOCKS])
    if spare <= stacked:
        return index
    blocks = had - stacked + spare
    grown = {name: _grown(getattr(index, name), blocks) for name in (*_OF_BLOCKS, *_OF_ORDER)}
    index = index._replace(**grown)
    more = index.spare.size - had
    # The lowest number is on top, so that blocks are used in the order of memory.
    index.spare[stacked : stacked + more] = np.arange(index.spare.size - 1, had - 1, -1)
    index.used[SPARE_BLOCKS] += more
    return index


def with_curves(index: Index, curves: int, detectors: int) -> Index:
    """The index with room for so many curves and detectors."""
    if curves >= index.begins.size:
        names = ("begins", "totals", "detector")
        index = index._replace(**{name: _grown(getattr(index, name), curves + 1) for name in names})
    if detectors > index.seen.shape[0]:
        seen, seen_in = _grown(index.seen, detectors), _grown(index.seen_in, detectors)
        index = index._replace(seen=seen, seen_in=seen_in)
    return index


def with_frames(index: Index, frames: int) -> Index:
    """The index with room for so many frames."""
    if frames <= index.seen.shape[1]:
        return index
    seen = _grown(np.swapaxes(index.seen, 0, 1), frames)
    return index._replace(seen=np.ascontiguousarray(np.swapaxes(seen, 0, 1)))


def bytes_used(index: Index) -> int:
    """Bytes in use, in all arrays."""
    rows, places, spare, curves = index.used.tolist()
    blocks = index.spare.size - spare
    arrays = [
        *((rows, array) for array in (index.rows, index.row_frame)),
        *((places, array) for array in (index.block_of, index.marks)),
        *((blocks, getattr(index, name)) for name in (*_OF_BLOCKS, *_OF_ORDER)),
        *((curves, array) for array in (index.totals, index.begins, index.detector)),
    ]
    used = sum(count * array.itemsize * int(np.prod(array.shape[1:])) for count, array in arrays)
    return int(used) + index.slots.nbytes + index.seen.nbytes


def _grown(array: AnyArray, size: int, value: int = 0) -> AnyArray:
    """A copy with room for more than this size; what is new has this value."""
    size = int(_GROWTH * size) + 1
    new = np.zeros((size, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    if value:
        new[len(array) :] = value
    return new
