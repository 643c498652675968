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
from services.contracts.events import FrameMatched
from services.domain.coco import BoolArray, IntArray
from services.domain.error_types import TYPES
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

    @classmethod
    def of(cls, matches: Sequence[FrameMatched], frames: Sequence[int]) -> "MatchTable":
        """The table of one match per frame.

        Parameters
        ----------
        matches : in the order of their frames
        frames : the frames' numbers

        Raises
        ------
        InvalidRecord
            More ground truths of one category on one frame than can be counted.
        """
        if any(max(match.ground_truths) > MOST_TRUTHS for match in matches):
            raise InvalidRecord(
                f"more than {MOST_TRUTHS} ground truths of a category on one frame",
                reason="too_many_ground_truths",
            )
        rows = np.zeros(len(matches), ROW)
        rows["frame"] = frames
        rows["part"] = [part_of(m.split, shortlisted=m.shortlisted) for m in matches]
        rows["captured"] = [microseconds(m.captured_at) for m in matches]
        rows["revision"] = [m.revision for m in matches]
        rows["truths"] = [m.ground_truths for m in matches]
        return cls(rows, _detections(matches))

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

    def mask(self, parts: Sequence[int], since: int | None, until: int | None) -> BoolArray:
        """(F,) which rows are in these parts, captured after `since` and up to `until`."""
        keep: BoolArray = np.isin(self.rows["part"], parts)
        if since is not None:
            keep &= self.rows["captured"] > since
        if until is not None:
            keep &= self.rows["captured"] <= until
        return keep

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.detections.nbytes


def _detections(matches: Sequence[FrameMatched]) -> Table:
    counts = np.array([len(m.scores) for m in matches], np.int64)
    table = np.zeros(counts.sum(), DETECTION)
    starts = np.cumsum(counts) - counts
    rank = np.arange(table.size) - np.repeat(starts, counts)
    table["row"] = np.repeat(np.arange(len(matches)), counts)
    table["score"] = _column([m.scores for m in matches], table.size, np.float64)
    table["overlap"] = _column([m.overlaps for m in matches], table.size, np.float32)
    words = _column([m.matched for m in matches], table.size, np.uint64)
    table["matched"] = words | rank.astype(np.uint64) << np.uint64(RANK_SHIFT)
    errors = np.array([_ERRORS[e] for m in matches for e in m.errors], np.uint64)
    words = _column([m.ignored for m in matches], table.size, np.uint64)
    table["ignored"] = words | errors << np.uint64(ERROR_SHIFT)
    return table[np.argsort(-table["score"], kind="stable")]


def _column(cells: Sequence[Sequence[float]], size: int, dtype: type) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(cells), dtype, size)
