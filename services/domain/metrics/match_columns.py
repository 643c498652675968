"""Matches as parallel arrays, from a batch of events or from the store."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.contracts.bounds import FIRST_TIME, LAST_TIME
from services.contracts.errors import InvalidRecord
from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.contracts.matches import ERROR_CODES, FrameMatched
from services.domain.arrays import AnyArray, BitsArray, BoolArray, FloatArray, IntArray
from services.domain.detection.coco import BITS, MAX_DETECTIONS
from services.domain.detection.grouping import ranges
from services.domain.metrics.index_layout import (
    COUNTS,
    ERROR,
    OVERLAP,
    RIGHT,
    SHOWN,
    Batch,
    microseconds,
)
from services.domain.metrics.subsets import part_of

MAX_TRUTHS: Final = np.iinfo(np.uint16).max
LAST_REVISION: Final = np.iinfo(np.uint32).max
_FIRST, _LAST = microseconds(FIRST_TIME), microseconds(LAST_TIME)
_SETTINGS: Final = np.uint64((1 << BITS) - 1)
_FIRST_SETTING: Final = np.uint64(1)

M = TypeVar("M", bound="Counted")
T = TypeVar("T", bound=Hashable)


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
    errors : (D,) uint8, 1 + index in `TYPES`, 0 for no error
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
    errors: AnyArray

    @classmethod
    def of(cls, matches: Sequence[Counted]) -> "Cells":
        """The cells of these matches, in their order."""
        starts = np.zeros(len(matches) + 1, np.int64)
        np.cumsum([len(m.scores) for m in matches], out=starts[1:])
        errors = [[ERROR_CODES[e] for e in m.errors] for m in matches]
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
            _column(errors, np.uint8),
        )

    @classmethod
    def of_frames(cls, matches: Sequence[FrameMatched], frame: IntArray) -> "Cells":
        """The cells of every category of these events.

        Parameters
        ----------
        frame : (K,) int64, the event of each category
        """
        groups = [match.groups for match in matches]

        def joined(name: str, dtype: str) -> NDArray[Any]:
            # Not bytes: for arrays that cannot be written to, Numba would compile kernels again.
            return np.frombuffer(bytearray().join(getattr(group, name) for group in groups), dtype)

        parts = [part_of(match.split, shortlisted=match.shortlisted) for match in matches]
        sizes = np.fromiter(chain.from_iterable(group.sizes for group in groups), np.int64)
        truths = [counts for group in groups for counts in group.ground_truths]
        return cls(
            np.array(parts, np.int64)[frame],
            np.array([microseconds(match.captured_at) for match in matches], np.int64)[frame],
            np.array([match.revision for match in matches], np.int64)[frame],
            np.array(truths, np.int64).reshape(-1, 4),
            np.append(0, np.cumsum(sizes)),
            joined("scores", "<f8"),
            joined("overlaps", "<f8"),
            joined("matched", "<u8"),
            joined("ignored", "<u8"),
            joined("errors", "u1"),
        )

    @classmethod
    def joined(cls, parts: Sequence["Cells"]) -> "Cells":
        """The cells of all these matches, one part behind the other."""
        if not parts:
            return cls.of([])
        columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        return cls(**columns | {"starts": np.append(0, np.cumsum(sizes))})

    def __len__(self) -> int:
        return self.revision.size

    def batch(self, curve: IntArray, frame: IntArray, operating: FloatArray) -> Batch:
        """The matches as the index takes them.

        Parameters
        ----------
        curve, frame : (K,) int64, numbers of each match's curve and frame
        operating : (K,) float64, the operating score of each match's curve
        """
        counted = ~self.ignored & _SETTINGS
        positive = self.matched & counted
        return Batch(
            curve,
            frame,
            self.part,
            self.captured,
            self.revision,
            self.truths,
            self.starts,
            self.scores,
            self._marks(positive, counted, operating),
            positive,
            counted,
        )

    def _marks(self, positive: BitsArray, counted: BitsArray, operating: FloatArray) -> AnyArray:
        """(D,) uint32, what totals need of each detection; see `index_layout`."""
        marks: AnyArray = np.rint(self.overlaps.clip(0, 1) * OVERLAP).astype(np.uint32)
        marks |= self.errors.astype(np.uint32) << ERROR
        marks |= (positive & _FIRST_SETTING).astype(np.uint32) << RIGHT
        marks |= (counted & _FIRST_SETTING).astype(np.uint32) << COUNTS
        marks |= (self.scores >= operating.repeat(np.diff(self.starts))).astype(np.uint32) << SHOWN
        return marks

    def taken(self, order: IntArray) -> "Cells":
        """The cells of some matches, in this order."""
        starts, these = detections_of(self.starts, order)
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
            self.truths.max(axis=1) > MAX_TRUTHS,
            f"more than {MAX_TRUTHS} ground truths of a category on one frame",
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


def sound_matches(matches: Sequence[M]) -> list[M]:
    """The matches that `Cells.check` accepts, in their order."""
    if not matches:
        return []
    sound = Cells.of(matches).sound().tolist()
    return [match for match, keep in zip(matches, sound, strict=True) if keep]


def detections_of(starts: IntArray, order: IntArray) -> tuple[IntArray, IntArray]:
    """Where the detections of some matches begin when these are put in this order, and which.

    Parameters
    ----------
    starts : (K + 1,) where each match's detections begin now
    order : (N,) indices of matches
    """
    sizes = np.diff(starts)[order]
    taken = np.append(0, np.cumsum(sizes))
    return taken, ranges(starts[order], sizes)


@dataclass(frozen=True)
class Names(Generic[T]):
    """A column of names, of which each is spelled once.

    Attributes
    ----------
    values : the names that may occur
    codes : (K,) int64, index in `values` of each name
    """

    values: Sequence[T]
    codes: IntArray

    @classmethod
    def of(cls, names: Sequence[T]) -> "Names[T]":
        """The column of these names."""
        codes: dict[T, int] = {}
        column = [codes.setdefault(name, len(codes)) for name in names]
        return cls(list(codes), np.array(column, np.int64))

    @classmethod
    def joined(cls, columns: Sequence["Names[T]"]) -> "Names[T]":
        """One column with all names of these, one column behind the other."""
        names = cls.of([name for column in columns for name in column.values])
        bounds = np.cumsum([0, *(len(column.values) for column in columns)])
        codes = [names.codes[first:][c.codes] for first, c in zip(bounds, columns, strict=False)]
        return cls(names.values, np.concatenate([np.zeros(0, np.int64), *codes]))

    def __getitem__(self, k: int) -> T:
        return self.values[int(self.codes[k])]

    def taken(self, order: IntArray) -> "Names[T]":
        """Some of the names, in this order."""
        return Names(self.values, self.codes[order])


@dataclass(frozen=True)
class NamedColumns:
    """K matches with names, in any order, possibly several of one frame."""

    detector: Names[DetectorId]
    category: Names[Category]
    frame_id: Names[FrameId]
    vehicle_id: Names[VehicleId]
    cells: Cells

    @classmethod
    def of(cls, matches: Iterable[Counted]) -> "NamedColumns":
        """The columns of these matches."""
        matches = list(matches)
        return cls(
            Names.of([match.detector for match in matches]),
            Names.of([match.category for match in matches]),
            Names.of([match.frame_id for match in matches]),
            Names.of([match.vehicle_id for match in matches]),
            Cells.of(matches),
        )

    @classmethod
    def of_frames(cls, matches: Sequence[FrameMatched]) -> "NamedColumns":
        """The columns of every category of these events, whose columns are joined as bytes."""
        groups = [match.groups for match in matches]
        counts = [len(group.categories) for group in groups]
        frame = np.repeat(np.arange(len(matches)), counts)
        return cls(
            Names.of([match.detector for match in matches]).taken(frame),
            Names.of(list(chain.from_iterable(group.categories for group in groups))),
            Names.of([match.frame_id for match in matches]).taken(frame),
            Names.of([match.vehicle_id for match in matches]).taken(frame),
            Cells.of_frames(matches, frame),
        )

    @classmethod
    def joined(cls, parts: Sequence["NamedColumns"]) -> "NamedColumns":
        """One with all matches of these."""
        return cls(
            Names.joined([part.detector for part in parts]),
            Names.joined([part.category for part in parts]),
            Names.joined([part.frame_id for part in parts]),
            Names.joined([part.vehicle_id for part in parts]),
            Cells.joined([part.cells for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.cells)

    def of_categories(self, wanted: Callable[[Category], bool]) -> "NamedColumns":
        """The matches of the wanted categories."""
        keep = np.array([wanted(category) for category in self.category.values], np.bool_)
        if keep.all():
            return self
        return self.taken(np.flatnonzero(keep[self.category.codes]))

    def taken(self, order: IntArray) -> "NamedColumns":
        """Some of the matches, in this order."""
        return NamedColumns(
            self.detector.taken(order),
            self.category.taken(order),
            self.frame_id.taken(order),
            self.vehicle_id.taken(order),
            self.cells.taken(order),
        )


def _column(values: Sequence[Sequence[float]], dtype: type) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(values), dtype)
