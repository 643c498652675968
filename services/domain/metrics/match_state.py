"""All matches, per detector and category, and what any set of their frames amounts to.

This is what the evaluator holds. Nothing in it is computed before it is asked for, and asking
again costs nothing where nothing has changed: a category's figures on a subset are kept until a
frame of that subset changes, or leaves or enters the window.
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
    operating_score : from which score on a detection is shown
    """

    def __init__(self, operating_score: float) -> None:
        self._score = operating_score
        self._frames = FrameOrder()
        self._tables = MatchTables()
        self._places: dict[Curve, int] = {}
        self._figures = KeptFigures(self._tables, operating_score)

    def add(self, matches: Iterable[Counted]) -> set[Curve]:
        """Take matches in, in any order and any number of times; which curves changed.

        A match with neither detections nor ground truths says that nothing is left of its frame.

        Raises
        ------
        InvalidRecord
            One of them cannot be held; the state is as it was.
        """
        return self.add_named(NamedColumns.of(matches))

    def add_named(self, named: NamedColumns) -> set[Curve]:
        """Take matches in that are columns already; which curves changed.

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
        return self._taken_in(curves, columns)

    def add_columns(self, curves: Sequence[Curve], columns: MatchColumns) -> set[Curve]:
        """Take matches in whose frames have their numbers already; which curves changed.

        Parameters
        ----------
        curves : what the columns' curves stand for

        Raises
        ------
        InvalidRecord
            One of them cannot be held; the state is as it was.
        """
        columns.cells.check()
        return self._taken_in(curves, columns)

    def _taken_in(self, curves: Sequence[Curve], columns: MatchColumns) -> set[Curve]:
        batch = columns.batch()
        own_curves = [curves[k] for k in batch.curves]
        changed = self._join(own_curves, batch)
        return {curve for curve, parts in zip(own_curves, changed, strict=True) if parts}

    def frame_numbers(self, frame_ids: Sequence[FrameId]) -> IntArray:
        """(N,) int64, the numbers by which columns name these frames."""
        return self._frames.numbers(frame_ids)

    def remove(self, frame_ids: Iterable[FrameId], curve: Curve | None = None) -> set[Curve]:
        """Forget frames, everywhere or of one curve; which curves changed."""
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
        """Take in all that another state holds: a shard's, or one restored."""
        numbers = self._frames.numbers(other.frame_ids())
        self._frames.taken_by(numbers, other.vehicles())
        for curve, table in other.tables():
            rows = table.rows.copy()
            rows["frame"] = numbers[rows["frame"]]
            self._join([curve], Batch.of(MatchTable(rows, table.detections)))

    def copy(self) -> "MatchState":
        """The same, apart from what either one takes in or forgets from now on.

        It costs no more than its frames' names, and may be read while this one takes matches in.
        """
        other = MatchState(self._score)
        other._frames = self._frames.copy()
        other._places = self._places.copy()
        other._tables = self._tables.copy()
        other._figures = KeptFigures(other._tables, self._score)
        return other

    def snapshot(self) -> bytes:
        """All that is held, to be restored by `restored`: a numpy archive, without pickles."""
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
        """The state of a snapshot.

        Raises
        ------
        ValueError
            It is not one, or of another layout.
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
        """Every curve's table; its rows name frames by their place in `frame_ids`."""
        return ((curve, self._tables[place]) for curve, place in self._places.items())

    def frame_ids(self) -> list[FrameId]:
        """Every frame ever seen, by number."""
        return self._frames.frame_ids()

    def vehicles(self) -> list[VehicleId | None]:
        """Who took each frame, by number."""
        names: list[VehicleId | None] = [*self._frames.vehicle_names, None]
        return [names[place] for place in self._frames.vehicle]

    def figures(self, curve: Curve, subset: Subset, window: Window = EVER) -> Figures:
        """One category of one detector on a subset's frames within a window."""
        return self._read([curve], subset, window)[0]

    def curves(self) -> list[Curve]:
        """What there are figures of."""
        return sorted(self._places)

    def detectors(self) -> list[DetectorId]:
        return sorted({detector for detector, _ in self._places})

    def of(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> dict[Category, Figures]:
        """All of a detector's categories on a subset's frames within a window."""
        curves = [curve for curve in self.curves() if curve[0] == detector]
        figures = self._read(curves, subset, window)
        return {category: said for (_, category), said in zip(curves, figures, strict=True)}

    def frame_count(self, detector: DetectorId, subset: Subset, window: Window = EVER) -> int:
        """How many frames of the subset, within the window, have a match of the detector."""
        return int(np.count_nonzero(self._seen_by(detector, subset, window)))

    def _seen_by(self, detector: DetectorId, subset: Subset, window: Window) -> BoolArray:
        """(frames,) which frames of the subset, within the window, have a match of it."""
        own_curves = [place for (name, _), place in self._places.items() if name == detector]
        curves = np.array(own_curves, np.int64)
        return self._tables.seen_frames(curves, subset.word, window.bounds(), len(self._frames))

    def interval(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> Interval | None:
        """A detector's mAP with its 95% interval; none where it is undefined."""
        everywhere = np.ones(len(self._frames), np.bool_)
        return interval(self._samples(detector, subset, window, everywhere), len(self._frames))

    def difference(
        self, first: DetectorId, theirs: DetectorId, subset: Subset, window: Window = EVER
    ) -> Interval | None:
        """How much higher our mAP is, on the frames that both detectors looked at."""
        both = self._seen_by(first, subset, window) & self._seen_by(theirs, subset, window)
        return difference(
            self._samples(first, subset, window, both),
            self._samples(theirs, subset, window, both),
            len(self._frames),
        )

    def drift(
        self, detector: DetectorId, subset: Subset = Subset.ALL, window: Window = EVER
    ) -> list[Drift]:
        """How each vehicle compares with the rest of the fleet."""
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
        """Join a batch's tables with these curves'; the parts that changed in each."""
        places = np.array([self._place(curve) for curve in curves], np.int64)
        changed = self._tables.join(places, batch, self._frames.ranks)
        self._figures.forget(places, changed)
        return changed

    def _place(self, curve: Curve) -> int:
        """The number of its table; a new one for a curve not seen before."""
        place = self._places.get(curve)
        if place is None:
            place = self._places[curve] = self._tables.append()
        return place

    def _read(self, curves: Sequence[Curve], subset: Subset, window: Window) -> list[Figures]:
        places = np.array([self._places[curve] for curve in curves], np.int64)
        said = self._figures.read(places, subset, window)
        return [
            Figures(numbers, self._score, shown, *map(int, counts))
            for numbers, shown, counts in zip(*said, strict=True)
        ]

    @property
    def reads(self) -> int:
        """How many times a category was read, so far: only where its frames had changed."""
        return self._figures.reads

    @property
    def latest(self) -> datetime | None:
        """When the last of the frames was captured."""
        captured = [table.rows["captured"].max() for _, table in self.tables() if table.rows.size]
        if not captured:
            return None
        last = int(max(captured))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=last)

    @property
    def nbytes(self) -> int:
        """Size of the tables, in bytes."""
        return self._tables.nbytes


def _latest(curve: IntArray, rank: IntArray, revision: IntArray) -> IntArray:
    """The matches by curve and their frames' order; of each frame the highest revision."""
    order = np.lexsort((-revision, rank, curve))
    curve, rank = curve[order], rank[order]
    first = np.ones(order.size, np.bool_)
    first[1:] = (curve[1:] != curve[:-1]) | (rank[1:] != rank[:-1])
    return order[first]
