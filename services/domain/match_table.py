"""One category's matches as two arrays: a row per frame, a record per detection.

Rows are in the frames' order; detections in COCO's: by descending score, then by frame, then as
they stood on the frame. Two tables join into one in a single pass, the higher revision of a frame
wins, and joining is all there is to adding, replacing, moving and merging shards: a batch of
events is a small table. What a subset or a time window is made of is a mask over the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.contracts.errors import InvalidRecord
from services.domain.coco import BitsArray, BoolArray, FloatArray, IntArray
from services.domain.error_types import TYPES
from services.domain.match_summary import Counted
from services.domain.subsets import part_of

MOST_TRUTHS: Final = np.iinfo(np.uint16).max
LAST_REVISION: Final = np.iinfo(np.uint32).max

DETECTION: Final = np.dtype(
    [("score", "f8"), ("matched", "u8"), ("ignored", "u4"), ("row", "i4"), ("overlap", "f4")]
)
"""28 bytes; a word has 40 settings, and `matched` also what `ignored` has no room for."""
IGNORED_SHIFT: Final = 8
"""By how much the last eight settings of `ignored` lie higher in `matched`."""
RANK_SHIFT: Final = 48
"""Where a detection's rank on its frame begins in `matched`: 7 bits."""
ERROR_SHIFT: Final = 55
"""Where 1 + the place of its error in `TYPES` begins in `matched`: 3 bits, 0 for no error."""
ROW: Final = np.dtype(
    [("frame", "i4"), ("part", "u1"), ("captured", "i8"), ("revision", "u4"), ("truths", "u2", 4)]
)
"""25 bytes; `captured` in microseconds of the epoch, `truths` per area range."""

EARLIEST: Final = -(1 << 63)
LATEST: Final = (1 << 63) - 1
"""Bounds of all that was ever captured, in microseconds of the epoch."""

Table = NDArray[np.void]
_ERRORS: Final = {None: 0} | {error: 1 + place for place, error in enumerate(TYPES)}


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
        """The table less these frames, and the parts that changed."""
        gone = np.isin(self.rows["frame"], frames)
        changed = int(np.bitwise_or.reduce(1 << self.rows["part"][gone].astype(np.int64)))
        if not gone.any():
            return self, 0
        place = np.cumsum(~gone) - 1
        detections = self.detections[~gone[self.detections["row"]]]
        detections["row"] = place[detections["row"]]
        return MatchTable(self.rows[~gone], detections), changed

    def mask(self, parts: int, since: int, until: int) -> BoolArray:
        """(F,) which rows are in these parts, captured after `since` and up to `until`.

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
    """Tables of several curves, one after the other.

    Attributes
    ----------
    curves : (B,) int64, which ones
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
        """One table alone."""
        row_bounds, bounds = (np.array([0, t.size]) for t in (table.rows, table.detections))
        return cls(np.zeros(1, np.int64), table.rows, row_bounds, table.detections, bounds)


@dataclass(frozen=True)
class MatchColumns:
    """Matches of many curves as parallel arrays: a curve is one detector and category.

    Attributes
    ----------
    curve, frame, part, captured, revision : (K,) int64, of each match; sorted by curve, then by
        the frames' order
    truths : (K, 4) int64, ground truths per area range
    starts : (K + 1,) int64; match k's detections are `[starts[k]:starts[k + 1]]`, best first
    scores, overlaps : (D,) float64
    matched, ignored : (D,) uint64
    errors : (D,) int64, 1 + place in `TYPES`, 0 for none

    Raises
    ------
    InvalidRecord
        More ground truths of one category on one frame than can be counted, or a revision that
        is too high.
    """

    curve: IntArray
    frame: IntArray
    part: IntArray
    captured: IntArray
    revision: IntArray
    truths: IntArray
    starts: IntArray
    scores: FloatArray
    overlaps: FloatArray
    matched: BitsArray
    ignored: BitsArray
    errors: IntArray

    def __post_init__(self) -> None:
        if self.truths.size and self.truths.max() > MOST_TRUTHS:
            raise InvalidRecord(
                f"more than {MOST_TRUTHS} ground truths of a category on one frame",
                reason="too_many_ground_truths",
            )
        if self.revision.size and self.revision.max() > LAST_REVISION:
            raise InvalidRecord(
                f"a match's revision is above {LAST_REVISION}", reason="revision_too_high"
            )

    @classmethod
    def of(
        cls, matches: Sequence[Counted], curve: Sequence[int], frame: Sequence[int]
    ) -> "MatchColumns":
        """The columns of these matches, which are sorted by curve and frame."""
        starts = np.zeros(len(matches) + 1, np.int64)
        np.cumsum([len(m.scores) for m in matches], out=starts[1:])
        errors = [[_ERRORS[e] for e in m.errors] for m in matches]
        return cls(
            np.array(curve, np.int64),
            np.array(frame, np.int64),
            np.array([part_of(m.split, shortlisted=m.shortlisted) for m in matches], np.int64),
            np.array([microseconds(m.captured_at) for m in matches], np.int64),
            np.array([m.revision for m in matches], np.int64),
            np.array([m.ground_truths for m in matches], np.int64).reshape(-1, 4),
            starts,
            _column([m.scores for m in matches], np.float64),
            _column([m.overlaps for m in matches], np.float64),
            _column([m.matched for m in matches], np.uint64),
            _column([m.ignored for m in matches], np.uint64),
            _column(errors, np.int64),
        )

    def batch(self) -> Batch:
        """A table for each curve."""
        from services.domain import table_kernels  # noqa: PLC0415  # see compiled.py

        rows = np.zeros(self.curve.size, ROW)
        for name in ("frame", "part", "captured", "revision", "truths"):
            rows[name] = getattr(self, name)
        curves, firsts = np.unique(self.curve, return_index=True)
        bounds = np.append(firsts, self.curve.size)
        found = table_kernels.detections(
            bounds,
            self.starts,
            self.scores,
            self.overlaps,
            self.matched,
            self.ignored,
            self.errors,
        )
        return Batch(curves, rows, bounds, found, self.starts[bounds])


def _column(cells: Sequence[Sequence[float]], dtype: type) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(cells), dtype)
