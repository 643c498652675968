"""One category's matches as two arrays: a row per frame, a record per detection.

Rows are in the order of frames; detections in COCO's: by descending score, then by frame, then by
their order on the frame. Two tables join in a single pass, in which the higher revision of a
frame wins. Adding, replacing, moving and merging shards are all joins: a batch of events is a small
table. A subset or a time window is a mask over the rows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.domain.detection.coco import BoolArray, IntArray

DETECTION: Final = np.dtype(
    [("score", "f8"), ("matched", "u8"), ("ignored", "u4"), ("row", "i4"), ("overlap", "f4")]
)
"""28 bytes; 40 settings as bits, of which `matched` also holds the last eight of `ignored`."""
IGNORED_SHIFT: Final = 8
"""The last eight settings of `ignored` are shifted up by this in `matched`."""
RANK_SHIFT: Final = 48
"""The first bit in `matched` of a detection's rank on its frame: 7 bits."""
ERROR_SHIFT: Final = 55
"""The first bit in `matched` of 1 + the error's index in `TYPES`: 3 bits, 0 for no error."""
ROW: Final = np.dtype(
    [("frame", "i4"), ("part", "u1"), ("captured", "i8"), ("revision", "u4"), ("truths", "u2", 4)]
)
"""25 bytes; `captured` in microseconds since the epoch, `truths` per area range."""

EARLIEST: Final = -(1 << 63)
LATEST: Final = (1 << 63) - 1
"""Bounds of every capture time, in microseconds since the epoch."""

Table = NDArray[np.void]


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return round(moment.timestamp() * 1e6)


@dataclass(frozen=True)
class MatchTable:
    """The latest match of every frame, for one detector and category."""

    rows: Table
    """(F,) of `ROW`."""
    detections: Table
    """(D,) of `DETECTION`."""

    @classmethod
    def empty(cls) -> "MatchTable":
        return cls(np.zeros(0, ROW), np.zeros(0, DETECTION))

    def without(self, frames: IntArray) -> tuple["MatchTable", int]:
        """The table without these frames, and the parts that changed."""
        gone = np.isin(self.rows["frame"], frames)
        changed = int(np.bitwise_or.reduce(1 << self.rows["part"][gone].astype(np.int64)))
        if not gone.any():
            return self, 0
        place = np.cumsum(~gone) - 1
        detections = self.detections[~gone[self.detections["row"]]]
        detections["row"] = place[detections["row"]]
        return MatchTable(self.rows[~gone], detections), changed

    def mask(self, parts: int, since: int, until: int) -> BoolArray:
        """(F,) bool, the rows in these parts, captured after `since` and up to `until`.

        Parameters
        ----------
        parts : part p as bit p
        """
        captured = self.rows["captured"]
        keep: BoolArray = (parts >> self.rows["part"] & 1).astype(bool)
        return keep & (since < captured) & (captured <= until)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.detections.nbytes


@dataclass(frozen=True)
class Batch:
    """Concatenated tables of several curves.

    Attributes
    ----------
    curves : (B,) int64, the curve numbers
    rows, detections : (F,) of `ROW` and (D,) of `DETECTION`
    row_bounds, bounds : (B + 1,) int64, where each table's rows and detections begin
    """

    curves: IntArray
    rows: Table
    row_bounds: IntArray
    detections: Table
    bounds: IntArray

    @classmethod
    def of(cls, table: MatchTable) -> "Batch":
        """A batch of one table."""
        row_bounds, bounds = (np.array([0, t.size]) for t in (table.rows, table.detections))
        return cls(np.zeros(1, np.int64), table.rows, row_bounds, table.detections, bounds)
