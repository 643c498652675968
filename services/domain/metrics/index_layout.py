"""The arrays of the match index, and how a block's bits are laid out.

Python code and kernels share these definitions; `match_index` explains the structure.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from services.domain.arrays import AnyArray, BitsArray, FloatArray, IntArray
from services.domain.detection.coco import BITS

BLOCK: Final = 256
"""Detections in a full block. Twice as many make figures a quarter faster and changes slower by as
much; half as many, the other way round. Numba caches compiled code by module, not by all that it is
compiled from: who changes this, or an array, must delete the caches (`__pycache__`)."""
WORDS: Final = BLOCK // 64
FILLED: Final = 3 * BLOCK // 4
"""Detections in a block that is filled by sorting, which leaves room for later ones."""

COUNTED: Final = BITS
"""The first plane of the detections that are not ignored; planes 0 to 39 are true positives."""
PART: Final = 2 * BITS
"""The first of three planes: the detections in each part of the frames."""
WINDOW: Final = PART + 3
"""The first of three planes: the detections in each time window."""
BEST: Final = WINDOW + 3
"""The plane of the detections that are the best of their frame; then that of the best ten."""
PLANES: Final = BEST + 2

WINDOWS: Final = BEST - WINDOW
"""The most time windows."""
ROW: Final = np.dtype(
    [
        ("curve", "i4"),
        ("start", "i4"),
        ("captured", "i8"),
        ("revision", "u4"),
        ("truths", "u2", 4),
        ("size", "u1"),
        ("part", "u1"),
        ("windows", "u1"),
    ]
)
"""A match, 31 bytes: its detections are `size` places from `start` on; `captured` in microseconds
since the epoch; `truths` per area range; `windows` has bit w set if it is in window w."""
CHUNK: Final = 4096
"""Rows that share a time at which one of them next enters or leaves a window."""

ERROR: Final = 25
"""The first bit of a mark's error: 1 + index in `TYPES`, 0 for no error. Below: the overlap."""
RIGHT: Final = 28
"""The bit of a mark that is set for a true positive in setting 0."""
COUNTS: Final = 29
"""The bit of a mark that is set for a detection that setting 0 does not ignore."""
SHOWN: Final = 30
"""The bit of a mark that is set where the score is at least the operating score."""
OVERLAP: Final = 1 << 24
"""The unit of a mark's overlap. Multiples of 2**-24 hold a float32 from .5 to 1 exactly, and sum
exactly, so that a detection can be subtracted again."""

ROWS, DETECTIONS, TRUTHS, RIGHTS, WRONGS, OVERLAPS, ERRORS = 0, 1, 2, 6, 7, 8, 9
"""Totals of a curve, a part and a set of windows: matches, detections, ground truths per area
range; and of the detections from the operating score on, true and false positives, the former's
overlaps, and false positives by type."""
TOTALS: Final = 14

USED_ROWS, USED_PLACES, SPARE_BLOCKS, CURVES = range(4)
"""What `used` counts."""

EARLIEST: Final = -(1 << 63)
LATEST: Final = (1 << 63) - 1
"""Bounds of every capture time, in microseconds since the epoch."""


class Index(NamedTuple):
    """The arrays of an index, with room to grow: `used` counts the elements in use.

    Attributes
    ----------
    rows : (R,) of `ROW`, the latest match of every curve and frame, in the order of arrival
    row_frame : (R,) int32, the frame of each row
    slots : (S,) int32, hash table of rows by curve and frame; -1 is empty
    block_of, marks : (P,) int32 and uint32, of each detection, together for each match: its block,
        and what the totals need of it
    freed : (256,) int64, by size, the first of the places that a former match of this size left
        free; the block there is the next one; -1 is none
    planes : (B, WORDS, PLANES) uint64, bit i of a plane is about the block's i-th detection; a word
        of all planes is contiguous, so that one instruction changes or counts several planes
    block_score, block_row, block_place : (B, BLOCK) float64, int32 and uint8, score, row and place
        on it of each detection
    sizes : (B,) int64, detections in each block
    spare : (B,) int32, stack of the blocks that are not in use
    order : (B,) int32, the blocks in the order of their curves and detections
    key_score, key_frame, key_place : (B,) the first detection of each block, in that order
    begins : (C + 1,) int64, where each curve begins in that order
    totals : (C, 3, 8, TOTALS) int64, by curve, part, and set of windows
    due, latest : (R / CHUNK,) int64, per chunk of rows: when one of them next enters or leaves a
        window, and the last capture time
    detector : (C,) int64, the number of each curve's detector
    seen : (D, F, 3) uint16, rows of each detector, frame and part
    seen_in : (D, 8) int64, frames of each detector by the set of parts in which it has rows
    used : (4,) int64
    """

    rows: AnyArray
    row_frame: AnyArray
    slots: AnyArray
    block_of: AnyArray
    marks: AnyArray
    freed: IntArray
    planes: BitsArray
    block_score: AnyArray
    block_row: AnyArray
    block_place: AnyArray
    sizes: IntArray
    spare: AnyArray
    order: AnyArray
    key_score: FloatArray
    key_frame: AnyArray
    key_place: AnyArray
    begins: IntArray
    totals: IntArray
    due: IntArray
    latest: IntArray
    detector: IntArray
    seen: AnyArray
    seen_in: IntArray
    used: IntArray


class Batch(NamedTuple):
    """K matches with D detections, to be added; see `match_columns.Cells`.

    Attributes
    ----------
    curve, frame, part, captured, revision : (K,) int64
    truths : (K, 4) int64
    starts : (K + 1,) int64
    scores : (D,) float64
    marks : (D,) uint32
    positive, counted : (D,) uint64, 40 settings as bits: true positives, and what is not ignored
    """

    curve: IntArray
    frame: IntArray
    part: IntArray
    captured: IntArray
    revision: IntArray
    truths: IntArray
    starts: IntArray
    scores: FloatArray
    marks: AnyArray
    positive: BitsArray
    counted: BitsArray


class Criteria(NamedTuple):
    """What decides the order of detections, and the windows that a row is in.

    Attributes
    ----------
    ranks : (F,) int64, the rank of each frame number, which breaks ties of score
    lengths : (W,) int64, the windows' lengths in microseconds
    until : the end of all windows, inclusive, in microseconds since the epoch
    """

    ranks: IntArray
    lengths: IntArray
    until: int


@dataclass(frozen=True)
class View:
    """A subset of the frames, within a window or over all time.

    Attributes
    ----------
    parts : part p as bit p
    window : the window's number; -1 for all time
    """

    parts: int
    window: int

    @property
    def changes(self) -> int:
        """The changes that concern the view, see `index_kernels.add`."""
        return sum(1 << 4 * part + 1 + self.window for part in range(3) if self.parts >> part & 1)


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return round(moment.timestamp() * 1e6)
