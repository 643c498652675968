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

RANK_SHIFT: Final = 40
"""Where a detection's rank on its frame begins in `matched`."""
ERROR_SHIFT: Final = 40
"""Where 1 + the place of its error in `TYPES` begins in `ignored`; 0 for no error."""
MOST_TRUTHS: Final = np.iinfo(np.uint16).max

DETECTION: Final = np.dtype(
    [("score", "f8"), ("matched", "u8"), ("ignored", "u8"), ("row", "i4"), ("overlap", "f4")]
)
"""32 bytes; the two words are 40 settings each, and what fits above them."""
ROW: Final = np.dtype(
    [("frame", "i4"), ("part", "u1"), ("captured", "i8"), ("revision", "i8"), ("truths", "u2", 4)]
)
"""29 bytes; `captured` in microseconds of the epoch, `truths` per area range."""

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

    def join(self, other: "MatchTable", ranks: IntArray) -> tuple["MatchTable", int]:
        """Both tables as one, with the higher revision of each frame; its own where equal.

        Parameters
        ----------
        ranks : (F,) the rank of every frame number in either table

        Returns
        -------
        The table, and the parts that changed, part p as bit p.
        """
        from services.domain import table_kernels  # noqa: PLC0415  # see compiled.py

        rows, detections, changed = table_kernels.join(
            self.rows, self.detections, other.rows, other.detections, ranks
        )
        return (MatchTable(rows, detections), changed) if changed else (self, 0)

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

    def mask(self, parts: int, since: int | None, until: int | None) -> BoolArray:
        """(F,) which rows are in these parts, captured after `since` and up to `until`.

        Parameters
        ----------
        parts : part p as bit p
        """
        keep: BoolArray = (parts >> self.rows["part"] & 1).astype(bool)
        if since is not None:
            keep &= self.rows["captured"] > since
        if until is not None:
            keep &= self.rows["captured"] <= until
        return keep

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.detections.nbytes


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
        More ground truths of one category on one frame than can be counted.
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

    def tables(self) -> dict[int, MatchTable]:
        """A table for each curve."""
        rows = np.zeros(self.curve.size, ROW)
        for name in ("frame", "part", "captured", "revision", "truths"):
            rows[name] = getattr(self, name)
        counts = np.diff(self.starts)
        curves, firsts = np.unique(self.curve, return_index=True)
        bounds = np.append(firsts, self.curve.size)
        place = np.arange(self.curve.size) - np.repeat(firsts, np.diff(bounds))
        rank = np.arange(self.scores.size) - np.repeat(self.starts[:-1], counts)
        found = np.zeros(self.scores.size, DETECTION)
        found["score"] = self.scores
        found["row"] = np.repeat(place, counts)
        found["overlap"] = self.overlaps
        found["matched"] = self.matched | rank.astype(np.uint64) << np.uint64(RANK_SHIFT)
        found["ignored"] = self.ignored | self.errors.astype(np.uint64) << np.uint64(ERROR_SHIFT)
        # Stable: equal scores of a curve stay in the order of their frames, and on them.
        found = found[np.lexsort((-self.scores, np.repeat(self.curve, counts)))]
        return {
            int(curve): MatchTable(rows[first:end], found[self.starts[first] : self.starts[end]])
            for curve, first, end in zip(curves, bounds[:-1], bounds[1:], strict=True)
        }


def _column(cells: Sequence[Sequence[float]], dtype: type) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(cells), dtype)
