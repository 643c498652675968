"""All matches per detector and category, and their figures on any subset and time window.

The evaluator holds this in memory. Figures are computed on demand and cached: a category's figures
on a subset stay valid until a frame of that subset changes, or leaves or enters the window.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

import numpy as np

from services.contracts.identity import Category, DetectorId, FrameHash, FrameId
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_recovered import ApRecovered, RepairGain, ap_recovered, repair_gains
from services.domain.metrics.average_precision import Figures
from services.domain.metrics.frame_order import FrameOrder
from services.domain.metrics.index_layout import EARLIEST, View, microseconds
from services.domain.metrics.kept_figures import EVER, KeptFigures, Window
from services.domain.metrics.match_columns import Counted, NamedColumns
from services.domain.metrics.match_index import MatchIndex
from services.domain.metrics.match_snapshot import Curve, MatchSnapshot
from services.domain.metrics.sample_curves import SampleCurves
from services.domain.metrics.sampled_figures import AnnotatedFrames
from services.domain.metrics.score_curves import ScoreCurve
from services.domain.metrics.slice_pairs import Tag
from services.domain.metrics.slices import Slice, ranked_slices
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Sample, matched_frames

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MatchState:
    """Matches by (detector, category, frame); of each, the highest revision counts.

    Parameters
    ----------
    operating : from which scores on detections are shown on the map
    lengths : of the time windows that can be asked for, at most three
    """

    def __init__(self, operating: OperatingScores, lengths: Sequence[timedelta] = ()) -> None:
        self._operating = operating
        self._lengths = tuple(lengths)
        self._frames = FrameOrder()
        lengths_us = np.array([length // _MICROSECOND for length in lengths], np.int64)
        self._index = MatchIndex(lengths_us)
        self._curves: dict[Curve, int] = {}
        self._sorted: defaultdict[DetectorId, list[Curve]] = defaultdict(list)
        """The curves of each detector, by category: figures are asked for one detector at a time,
        for every subset and window."""
        self._detectors: dict[DetectorId, int] = {}
        self._figures = KeptFigures(self._index)

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
        frame = self._frames.numbers(named.frame_id.values)[named.frame_id.codes]
        self._frames.taken_by(frame, named.vehicle_id)
        numbers = self._numbers_of(named)
        batch = named.cells.batch(numbers, frame, self._scores_of(numbers))
        changed = self._index.add(batch, self._frames.ranks)
        self._figures.forget(changed)
        curves = list(self._curves)
        return {curves[k] for k in np.flatnonzero(changed)}

    def forget(self, frames: AbstractSet[FrameHash]) -> set[Curve]:
        """Remove erased frames from every curve for good; returns the curves that changed."""
        changed = self._index.forget(self._frames.numbers_of(frames), self._frames.ranks)
        self._figures.forget(changed)
        curves = list(self._curves)
        return {curves[k] for k in np.flatnonzero(changed)}

    def slide(self, until: datetime) -> None:
        """Move the end of all windows; figures within a window do this too."""
        changed = self._index.slide(microseconds(until), self._frames.ranks)
        self._figures.forget(changed)

    def snapshot(self) -> MatchSnapshot:
        """A copy of what intervals, differences and drift need, to be read in another thread."""
        samples = self._index.samples(list(self._curves.values()))
        return MatchSnapshot(
            dict(zip(self._curves, samples, strict=True)),
            self._frames.vehicle.copy(),
            self._frames.vehicle_names,
        )

    def figures(self, curve: Curve, subset: Subset, window: Window = EVER) -> Figures:
        """The figures of one category of one detector, on a subset within a window."""
        return self._read([curve], subset, window)[0]

    def curves(self) -> list[Curve]:
        """All curves, sorted."""
        return sorted(self._curves)

    def detectors(self) -> list[DetectorId]:
        """All detectors, sorted."""
        return sorted(self._detectors)

    def of(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> dict[Category, Figures]:
        """The figures of all categories of a detector, on a subset within a window.

        Raises
        ------
        ValueError
            The window's length is none of those that the state was made for.
        """
        curves = self._curves_of(detector)
        figures = self._read(curves, subset, window)
        return {category: part for (_, category), part in zip(curves, figures, strict=True)}

    def score_curves(self, detector: DetectorId, subset: Subset) -> dict[Category, ScoreCurve]:
        """Precision, recall and F1 of a detector's categories against the score, at IoU .5."""
        return {
            curve[1]: self._index.score_curve(self._curves[curve], subset.word)
            for curve in self._curves_of(detector)
        }

    def slices(
        self,
        detector: DetectorId,
        subset: Subset,
        tagged: Mapping[Tag, Collection[FrameId]],
    ) -> list[Slice]:
        """The frames of each tag compared with all others of a subset; see `ranked_slices`.

        Parameters
        ----------
        tagged : the frames of each tag
        """
        samples = [sample.of(subset.word) for sample in self._samples_by_id(detector)]
        by_id = np.argsort(self._frames.ranks)
        members = {tag: frames[by_id] for tag, frames in self.members(tagged).items()}
        return ranked_slices(samples, members, self._scores(self._curves_of(detector)))

    def curves_on(
        self, detector: DetectorId, tagged: Mapping[Tag, Collection[FrameId]]
    ) -> dict[Tag, SampleCurves]:
        """A detector's curves and operating counts on the frames of each tag."""
        curves = self._curves_of(detector)
        samples = self._index.samples([self._curves[curve] for curve in curves])
        named = {category: sample for (_, category), sample in zip(curves, samples, strict=True)}
        scores = self._operating.by_category(detector, named)
        return {
            tag: SampleCurves.of(named, frames, scores)
            for tag, frames in self.members(tagged).items()
        }

    def members(self, tagged: Mapping[Tag, Collection[FrameId]]) -> dict[Tag, BoolArray]:
        """The frames of each tag as (F,) bool, by the frame numbers of a snapshot."""
        return {tag: self._frames.among(frame_ids) for tag, frame_ids in tagged.items()}

    def by_frame(self, values: Mapping[FrameId, float]) -> FloatArray:
        """(F,) the values by the frame numbers of a snapshot; 0 of frames without one."""
        found = np.zeros(len(self._frames))
        for number, frame_id in enumerate(self._frames.frame_ids()):
            found[number] = values.get(frame_id, 0.0)
        return found

    def annotated(self, detector: DetectorId, drawn: Mapping[FrameId, float]) -> AnnotatedFrames:
        """The annotated haystack frames of a detector, for estimates from those that were drawn.

        Parameters
        ----------
        drawn : the probabilities of drawn frames; those in S count as chosen
        """
        samples = [sample.of(Subset.H.word) for sample in self._samples_by_id(detector)]
        by_id = np.argsort(self._frames.ranks)
        chosen = [sample.of(Subset.S.word) for sample in samples]
        is_annotated, is_chosen = (matched_frames(part, by_id.size) for part in (samples, chosen))
        probability = self.by_frame(drawn)[by_id] * is_annotated
        scores = self._scores(self._curves_of(detector))
        return AnnotatedFrames(
            samples, scores, np.where(is_chosen, 1.0, probability), haystack=None
        )

    def ap_recovered(self, detector: DetectorId) -> ApRecovered | None:
        """What repairing the shortlisted frames would gain; see `ap_recovered`."""
        return ap_recovered(self._samples_by_id(detector), self._frames.ranks.size)

    def repair_gains(
        self,
        detector: DetectorId,
        repaired: Mapping[str, tuple[Category | None, Collection[FrameId]]],
    ) -> dict[str, RepairGain]:
        """What repairing each of these sets of frames would gain; see `repair_gains`."""
        curves = self._curves_of(detector)
        samples = self._index.samples([self._curves[curve] for curve in curves])
        return repair_gains(
            {category: sample for (_, category), sample in zip(curves, samples, strict=True)},
            {
                name: (category, self._frames.among(frame_ids))
                for name, (category, frame_ids) in repaired.items()
            },
        )

    def _samples_by_id(self, detector: DetectorId) -> list[Sample]:
        """The samples of a detector, with frames numbered in the order of their ids.

        So draws at random do not depend on the order of arrival.
        """
        numbers = [self._curves[curve] for curve in self._curves_of(detector)]
        place = np.argsort(np.argsort(self._frames.ranks)).astype(np.int32)
        return [sample.renumbered(place) for sample in self._index.samples(numbers)]

    def frame_count(self, detector: DetectorId, subset: Subset) -> int:
        """The number of frames of the subset that have a match."""
        number = self._detectors.get(detector)
        return 0 if number is None else self._index.frame_count(number, subset.word)

    def _curves_of(self, detector: DetectorId) -> Sequence[Curve]:
        return self._sorted.get(detector, ())

    def _scores(self, curves: Sequence[Curve]) -> list[float]:
        return [self._operating.of(*curve) for curve in curves]

    def _scores_of(self, numbers: IntArray) -> FloatArray:
        """(K,) float64, the operating scores of curves by number."""
        if not self._operating.own:
            return np.full(numbers.size, self._operating.default)
        curves = list(self._curves)
        distinct, places = np.unique(numbers, return_inverse=True)
        scores = self._scores([curves[number] for number in distinct.tolist()])
        return np.array(scores, np.float64)[places]

    def _numbers_of(self, named: NamedColumns) -> IntArray:
        """(K,) int64, the curve of each match; new curves get the next numbers."""
        categories = len(named.category.values)
        pairs = named.detector.codes * categories + named.category.codes
        numbers: IntArray = np.full(len(named.detector.values) * categories, -1)
        for pair in np.flatnonzero(np.bincount(pairs, minlength=numbers.size)).tolist():
            detector, category = divmod(pair, categories)
            curve = (named.detector.values[detector], named.category.values[category])
            numbers[pair] = self._number(curve)
        of_matches: IntArray = numbers[pairs]
        return of_matches

    def _number(self, curve: Curve) -> int:
        number = self._curves.get(curve)
        if number is None:
            detector = self._detectors.setdefault(curve[0], len(self._detectors))
            number = self._curves[curve] = self._index.append(detector)
            insort(self._sorted[curve[0]], curve)
        return number

    def _read(self, curves: Sequence[Curve], subset: Subset, window: Window) -> list[Figures]:
        view = View(subset.word, self._window(window))
        numbers = np.array([self._curves[curve] for curve in curves], np.int64)
        columns = self._figures.read(numbers, view)
        return [
            Figures(twelve, self._operating.of(*curve), shown, *map(int, counts))
            for curve, twelve, shown, counts in zip(curves, *columns, strict=True)
        ]

    def _window(self, window: Window) -> int:
        """The number of a window, which all windows then end with; -1 for all time."""
        if window.length is None or window.until is None:
            return -1
        number = self._lengths.index(window.length)
        self.slide(window.until)
        return number

    @property
    def reads(self) -> int:
        """How many times figures were computed so far; cached figures do not count."""
        return self._figures.reads

    @property
    def latest(self) -> datetime | None:
        """The latest capture time of any frame; None without frames."""
        latest = self._index.latest
        return None if latest == EARLIEST else _EPOCH + latest * _MICROSECOND

    @property
    def nbytes(self) -> int:
        """Size of the index in bytes; frame ids are not counted."""
        return self._index.nbytes
