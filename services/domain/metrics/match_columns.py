"""Matches as parallel arrays, from a batch of events or from the store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.contracts.bounds import FIRST_TIME, LAST_TIME
from services.contracts.errors import InvalidRecord
from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.coco import (
    MAX_DETECTIONS,
    BitsArray,
    BoolArray,
    FloatArray,
    IntArray,
)
from services.domain.detection.error_types import TYPES
from services.domain.metrics.match_table import ROW, Batch, microseconds
from services.domain.metrics.subsets import part_of

MOST_TRUTHS: Final = np.iinfo(np.uint16).max
LAST_REVISION: Final = np.iinfo(np.uint32).max
_FIRST, _LAST = microseconds(FIRST_TIME), microseconds(LAST_TIME)
_ERRORS: Final = {None: 0} | {error: 1 + place for place, error in enumerate(TYPES)}


class Counted(Protocol):
    """The fields of a `CategoryMatched` that mAP needs; that class documents them."""

    @property
    def frame_id(self) -> FrameId: ...
    @property
    def detector(self) -> DetectorId: ...
    @property
    def category(self) -> Category: ...
    @property
    def revision(self) -> int: ...
    @property
    def split(self) -> Split: ...
    @property
    def shortlisted(self) -> bool: ...
    @property
    def vehicle_id(self) -> VehicleId: ...
    @property
    def captured_at(self) -> datetime: ...
    @property
    def scores(self) -> tuple[float, ...]: ...
    @property
    def matched(self) -> tuple[int, ...]: ...
    @property
    def ignored(self) -> tuple[int, ...]: ...
    @property
    def overlaps(self) -> tuple[float, ...]: ...
    @property
    def errors(self) -> tuple[ErrorType | None, ...]: ...
    @property
    def ground_truths(self) -> tuple[int, int, int, int]: ...


@dataclass(frozen=True)
class Cells:
    """The contents of K matches, without the names of detector, category and frame.

    Attributes
    ----------
    part, captured, revision : (K,) int64, of each match
    truths : (K, 4) int64, ground truths per area range
    starts : (K + 1,) int64; match k's detections are `[starts[k]:starts[k + 1]]`, best first
    scores, overlaps : (D,) float64
    matched, ignored : (D,) uint64
    errors : (D,) int64, 1 + index in `TYPES`, 0 for no error
    """

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

    @classmethod
    def of(cls, matches: Sequence[Counted]) -> "Cells":
        """The cells of these matches, in their order."""
        starts = np.zeros(len(matches) + 1, np.int64)
        np.cumsum([len(m.scores) for m in matches], out=starts[1:])
        errors = [[_ERRORS[e] for e in m.errors] for m in matches]
        return cls(
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

    def __len__(self) -> int:
        return self.revision.size

    def taken(self, order: IntArray) -> "Cells":
        """The cells of some matches, in this order."""
        sizes = np.diff(self.starts)[order]
        starts = np.append(0, np.cumsum(sizes))
        these = np.repeat(self.starts[order] - starts[:-1], sizes) + np.arange(starts[-1])
        return Cells(
            self.part[order],
            self.captured[order],
            self.revision[order],
            self.truths[order],
            starts,
            self.scores[these],
            self.overlaps[these],
            self.matched[these],
            self.ignored[these],
            self.errors[these],
        )

    def check(self) -> None:
        """Refuse matches that the tables cannot hold.

        Raises
        ------
        InvalidRecord
            A score is not finite, a capture time is impossible, one category on one frame has too
            many detections or ground truths or a negative number, or a revision is too high.
        """
        for wrong, message, reason in self._refusals():
            if wrong.any():
                raise InvalidRecord(message, reason=reason)

    def sound(self) -> BoolArray:
        """(K,) bool, the matches that `check` accepts."""
        refused: BoolArray = np.zeros(len(self), np.bool_)
        for wrong, _, _ in self._refusals():
            refused |= wrong
        return ~refused

    def impossible_times(self) -> BoolArray:
        """(K,) bool, the matches whose capture time is impossible."""
        return (self.captured < _FIRST) | (self.captured > _LAST)

    def _refusals(self) -> Iterator[tuple[BoolArray, str, str]]:
        sizes = np.diff(self.starts)
        endless: BoolArray = np.zeros(len(self), np.bool_)
        endless[np.repeat(np.arange(len(self)), sizes)[~np.isfinite(self.scores)]] = True
        yield endless, "a score is not finite", "score_not_finite"
        yield (
            sizes > MAX_DETECTIONS,
            f"more than {MAX_DETECTIONS} detections of a category on one frame",
            "too_many_detections",
        )
        yield (
            self.truths.max(axis=1) > MOST_TRUTHS,
            f"more than {MOST_TRUTHS} ground truths of a category on one frame",
            "too_many_ground_truths",
        )
        yield self.truths.min(axis=1) < 0, "less than no ground truth", "negative_ground_truths"
        yield (
            self.impossible_times(),
            f"a time is not from {FIRST_TIME:%Y-%m-%d} to {LAST_TIME:%Y-%m-%d}",
            "time_out_of_range",
        )
        yield (
            self.revision > LAST_REVISION,
            f"a match's revision is above {LAST_REVISION}",
            "revision_too_high",
        )


M = TypeVar("M", bound=Counted)


def sound_matches(matches: Sequence[M]) -> list[M]:
    """The matches that `Cells.check` accepts, in their order."""
    if not matches:
        return []
    sound = Cells.of(matches).sound().tolist()
    return [match for match, keep in zip(matches, sound, strict=True) if keep]


@dataclass(frozen=True)
class NamedColumns:
    """Matches with names, in any order, possibly several of one frame.

    Attributes
    ----------
    detector, category, frame_id, vehicle_id : K names, of each match
    cells : the contents of the matches
    """

    detector: Sequence[DetectorId]
    category: Sequence[Category]
    frame_id: Sequence[FrameId]
    vehicle_id: Sequence[VehicleId]
    cells: Cells

    @classmethod
    def of(cls, matches: Iterable[Counted]) -> "NamedColumns":
        """The columns of these matches."""
        matches = list(matches)
        return cls(
            [match.detector for match in matches],
            [match.category for match in matches],
            [match.frame_id for match in matches],
            [match.vehicle_id for match in matches],
            Cells.of(matches),
        )

    def __len__(self) -> int:
        return len(self.cells)

    def taken(self, order: IntArray) -> "NamedColumns":
        """Some of the matches, in this order."""
        places = order.tolist()
        return NamedColumns(
            [self.detector[k] for k in places],
            [self.category[k] for k in places],
            [self.frame_id[k] for k in places],
            [self.vehicle_id[k] for k in places],
            self.cells.taken(order),
        )


@dataclass(frozen=True)
class MatchColumns:
    """Matches of many curves, at most one per curve and frame; a curve is a detector and category.

    Attributes
    ----------
    curve, frame : (K,) int64, of each match; sorted by curve, then by the frames' order
    cells : the contents of the matches
    """

    curve: IntArray
    frame: IntArray
    cells: Cells

    def batch(self) -> Batch:
        """Build a table for each curve."""
        from services.domain.metrics import table_kernels  # noqa: PLC0415  # see compiled.py

        cells = self.cells
        rows = np.zeros(self.curve.size, ROW)
        rows["frame"] = self.frame
        for name in ("part", "captured", "revision", "truths"):
            rows[name] = getattr(cells, name)
        curves, firsts = np.unique(self.curve, return_index=True)
        bounds = np.append(firsts, self.curve.size)
        found = table_kernels.detections(
            bounds,
            cells.starts,
            cells.scores,
            cells.overlaps,
            cells.matched,
            cells.ignored,
            cells.errors,
        )
        return Batch(curves, rows, bounds, found, cells.starts[bounds])


def _column(values: Sequence[Sequence[float]], dtype: type) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(values), dtype)
