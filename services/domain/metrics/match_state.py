"""All matches per detector and category, and their figures on any subset and time window.

The evaluator holds this in memory. Figures are computed on demand and cached: a category's figures
on a subset stay valid until a frame of that subset changes, or leaves or enters the window.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self
from zipfile import BadZipFile

import numpy as np
import orjson

from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.coco import BoolArray, IntArray
from services.domain.metrics.average_precision import Figures
from services.domain.metrics.drift import Drift, Fleet, drift
from services.domain.metrics.frame_order import FrameOrder
from services.domain.metrics.kept_figures import EVER, KeptFigures, Window
from services.domain.metrics.match_columns import Counted, MatchColumns, NamedColumns
from services.domain.metrics.match_table import DETECTION, ROW, Batch, MatchTable, Table
from services.domain.metrics.match_tables import MatchTables
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Interval, Sample, difference, interval

Curve = tuple[DetectorId, Category]


class MatchState:
    """Matches by (detector, category, frame); of each, the highest revision counts.

    Parameters
    ----------
    operating_score : the lowest score of a detection that is shown on the map
    """

    def __init__(self, operating_score: float) -> None:
        self._score = operating_score
        self._frames = FrameOrder()
        self._tables = MatchTables()
        self._places: dict[Curve, int] = {}
        self._figures = KeptFigures(self._tables, operating_score)

    def add(self, matches: Iterable[Counted]) -> set[Curve]:
        """Add matches, in any order and any number of times; returns the curves that changed.

        A match with neither detections nor ground truths removes its frame from the curve.

        Raises
        ------
        InvalidRecord
            One of them cannot be held; the state is as it was.
        """
        return self.add_named(NamedColumns.of(matches))

    def add_named(self, named: NamedColumns) -> set[Curve]:
        """Add matches that are given as columns; returns the curves that changed.

        Raises
        ------
        InvalidRecord
            One of them cannot be held; the state is as it was.
        """
        named.cells.check()
        names = list(zip(named.detector, named.category, strict=True))
        curves = sorted(set(names))
        place = {curve: k for k, curve in enumerate(curves)}
        curve = np.fromiter(map(place.__getitem__, names), np.int64, len(names))
        frame = self._frames.numbers(named.frame_id)
        order = _latest(curve, self._frames.ranks[frame], named.cells.revision)
        self._frames.taken_by(frame[order], [named.vehicle_id[k] for k in order.tolist()])
        columns = MatchColumns(curve[order], frame[order], named.cells.taken(order))
        return self._add_columns(curves, columns)

    def add_columns(self, curves: Sequence[Curve], columns: MatchColumns) -> set[Curve]:
        """Add matches whose frames already have numbers; returns the curves that changed.

        Parameters
        ----------
        curves : the curve of each curve number in the columns

        Raises
        ------
        InvalidRecord
            One of them cannot be held; the state is as it was.
        """
        columns.cells.check()
        return self._add_columns(curves, columns)

    def _add_columns(self, curves: Sequence[Curve], columns: MatchColumns) -> set[Curve]:
        batch = columns.batch()
        own_curves = [curves[k] for k in batch.curves]
        changed = self._join(own_curves, batch)
        return {curve for curve, parts in zip(own_curves, changed, strict=True) if parts}

    def frame_numbers(self, frame_ids: Sequence[FrameId]) -> IntArray:
        """(N,) int64, the numbers by which columns name these frames."""
        return self._frames.numbers(frame_ids)

    def remove(self, frame_ids: Iterable[FrameId], curve: Curve | None = None) -> set[Curve]:
        """Remove frames from all curves or from one; returns the curves that changed."""
        numbers = self._frames.known(frame_ids)
        changed = set()
        for key, place in self._places.items():
            if curve in (None, key):
                table, parts = self._tables[place].without(numbers)
                if parts:
                    self._tables[place] = table
                    self._figures.forget(np.array([place]), np.array([parts]))
                    changed.add(key)
        return changed

    def merge(self, other: "MatchState") -> None:
        """Add all that another state holds, such as a shard or a restored snapshot."""
        numbers = self._frames.numbers(other.frame_ids())
        self._frames.taken_by(numbers, other.vehicles())
        for curve, table in other.tables():
            rows = table.rows.copy()
            rows["frame"] = numbers[rows["frame"]]
            self._join([curve], Batch.of(MatchTable(rows, table.detections)))

    def copy(self) -> "MatchState":
        """An independent copy.

        It copies frame ids and shares the tables; it can be read while matches are added here.
        """
        other = MatchState(self._score)
        other._frames = self._frames.copy()
        other._places = self._places.copy()
        other._tables = self._tables.copy()
        other._figures = KeptFigures(other._tables, self._score)
        return other

    def snapshot(self) -> bytes:
        """Serialize the state for `restored`: a numpy archive, without pickles."""
        index = {
            "frames": self._frames.frame_ids(),
            "vehicles": self.vehicles(),
            "curves": list(self._places),
        }
        arrays: dict[str, Table] = {"index": np.frombuffer(orjson.dumps(index), np.uint8)}
        for k, (_, table) in enumerate(self.tables()):
            arrays |= {f"rows{k}": table.rows, f"detections{k}": table.detections}
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, **arrays)
        return archive.getvalue()

    @classmethod
    def restored(cls, snapshot: bytes, operating_score: float) -> Self:
        """Deserialize a snapshot.

        Raises
        ------
        ValueError
            It is not a snapshot, or has another layout.
        """
        state = cls(operating_score)
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as archive:
                index = orjson.loads(archive["index"].tobytes())
                numbers = state.frame_numbers(index["frames"])
                state._frames.taken_by(numbers, index["vehicles"])
                tables = [
                    MatchTable(archive[f"rows{k}"], archive[f"detections{k}"])
                    for k in range(len(index["curves"]))
                ]
        except (ValueError, OSError, KeyError, BadZipFile) as exc:
            raise ValueError("not a snapshot of matches") from exc
        if any(t.rows.dtype != ROW or t.detections.dtype != DETECTION for t in tables):
            raise ValueError("a snapshot of another layout")
        for (detector, category), table in zip(index["curves"], tables, strict=True):
            state._tables[state._place((DetectorId(detector), Category(category)))] = table
        return state

    def tables(self) -> Iterator[tuple[Curve, MatchTable]]:
        """Every curve with its table; rows name frames by their index in `frame_ids`."""
        return ((curve, self._tables[place]) for curve, place in self._places.items())

    def frame_ids(self) -> list[FrameId]:
        """Every frame ever seen, by number."""
        return self._frames.frame_ids()

    def vehicles(self) -> list[VehicleId | None]:
        """The vehicle of each frame, by number; None where it is not known."""
        names: list[VehicleId | None] = [*self._frames.vehicle_names, None]
        return [names[place] for place in self._frames.vehicle]

    def figures(self, curve: Curve, subset: Subset, window: Window = EVER) -> Figures:
        """The figures of one category of one detector, on a subset within a window."""
        return self._read([curve], subset, window)[0]

    def curves(self) -> list[Curve]:
        """All curves, sorted."""
        return sorted(self._places)

    def detectors(self) -> list[DetectorId]:
        return sorted({detector for detector, _ in self._places})

    def of(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> dict[Category, Figures]:
        """The figures of all categories of a detector, on a subset within a window."""
        curves = [curve for curve in self.curves() if curve[0] == detector]
        figures = self._read(curves, subset, window)
        return {category: part for (_, category), part in zip(curves, figures, strict=True)}

    def frame_count(self, detector: DetectorId, subset: Subset, window: Window = EVER) -> int:
        """The number of frames of the subset, within the window, that have a match."""
        return int(np.count_nonzero(self._seen_by(detector, subset, window)))

    def _seen_by(self, detector: DetectorId, subset: Subset, window: Window) -> BoolArray:
        """(frames,) whether each frame is in the subset and window and has a match."""
        own_curves = [place for (name, _), place in self._places.items() if name == detector]
        curves = np.array(own_curves, np.int64)
        return self._tables.seen_frames(curves, subset.word, window.bounds(), len(self._frames))

    def interval(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> Interval | None:
        """A detector's mAP with its 95% interval; None where it is undefined."""
        everywhere = np.ones(len(self._frames), np.bool_)
        return interval(self._samples(detector, subset, window, everywhere), len(self._frames))

    def difference(
        self, first: DetectorId, second: DetectorId, subset: Subset, window: Window = EVER
    ) -> Interval | None:
        """The mAP of the first detector minus the second's, on frames with matches of both."""
        both = self._seen_by(first, subset, window) & self._seen_by(second, subset, window)
        return difference(
            self._samples(first, subset, window, both),
            self._samples(second, subset, window, both),
            len(self._frames),
        )

    def drift(
        self, detector: DetectorId, subset: Subset = Subset.ALL, window: Window = EVER
    ) -> list[Drift]:
        """The drift of each vehicle against the rest of the fleet."""
        everywhere = np.ones(len(self._frames), np.bool_)
        samples = self._samples(detector, subset, window, everywhere)
        return drift(Fleet(samples, self._frames.vehicle, self._frames.vehicle_names))

    def _samples(
        self, detector: DetectorId, subset: Subset, window: Window, frames: BoolArray
    ) -> list[Sample]:
        tables = [
            self._tables[k] for (name, _), k in sorted(self._places.items()) if name == detector
        ]
        bounds = window.bounds()
        return [
            Sample(table, table.mask(subset.word, *bounds) & frames[table.rows["frame"]])
            for table in tables
        ]

    def _join(self, curves: Sequence[Curve], batch: Batch) -> IntArray:
        """Join a batch's tables with these curves; returns the parts that changed in each."""
        places = np.array([self._place(curve) for curve in curves], np.int64)
        changed = self._tables.join(places, batch, self._frames.ranks)
        self._figures.forget(places, changed)
        return changed

    def _place(self, curve: Curve) -> int:
        """The table number of a curve; a new curve gets the next one."""
        place = self._places.get(curve)
        if place is None:
            place = self._places[curve] = self._tables.append()
        return place

    def _read(self, curves: Sequence[Curve], subset: Subset, window: Window) -> list[Figures]:
        places = np.array([self._places[curve] for curve in curves], np.int64)
        columns = self._figures.read(places, subset, window)
        return [
            Figures(numbers, self._score, shown, *map(int, counts))
            for numbers, shown, counts in zip(*columns, strict=True)
        ]

    @property
    def reads(self) -> int:
        """How many times figures were computed so far; cached figures do not count."""
        return self._figures.reads

    @property
    def latest(self) -> datetime | None:
        """The latest capture time of any frame; None without frames."""
        captured = [table.rows["captured"].max() for _, table in self.tables() if table.rows.size]
        if not captured:
            return None
        last = int(max(captured))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=last)

    @property
    def nbytes(self) -> int:
        """Size of the tables in bytes."""
        return self._tables.nbytes


def _latest(curve: IntArray, rank: IntArray, revision: IntArray) -> IntArray:
    """Indices of the latest match of each curve and frame, by curve and frame rank."""
    order = np.lexsort((-revision, rank, curve))
    curve, rank = curve[order], rank[order]
    first = np.ones(order.size, np.bool_)
    first[1:] = (curve[1:] != curve[:-1]) | (rank[1:] != rank[:-1])
    return order[first]
