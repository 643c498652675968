"""Evaluates a data set's files once: without a broker, stores or services."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import IouType
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.category_map import SAME_NAMES, CategoryMap
from services.domain.detection.frame_matching import FrameMatch, frame_match
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import Figures
from services.domain.metrics.confusion import Confusions, confusions_of
from services.domain.metrics.error_costs import ErrorCostPool, ErrorCosts
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.match_snapshot import MatchSnapshot
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.score_curves import ScoreCurve
from services.domain.metrics.slices import Slice, TaggedFrames
from services.domain.metrics.subsets import REST, Subset
from services.domain.statistics.resampling import Interval
from services.evaluator.files.image_pairs import DETECTOR_NAME, DETECTOR_VERSION, ImagePairs
from services.formats.items import FrameItem, Rejection

_DETECTOR = DetectorId(f"{DETECTOR_NAME}@{DETECTOR_VERSION}")
_VEHICLE = VehicleId("file")


@dataclass(frozen=True)
class Evaluated:
    """The figures of a data set's files.

    Attributes
    ----------
    operating : from which scores on detections count in operating points and in the matrix
    images : the number of images that count
    left_out : images that do not, by reason
    figures, curves, intervals : of each category; an interval is of AP, None where it is undefined
    interval : of mAP
    """

    operating: OperatingScores
    images: int
    left_out: Mapping[str, int]
    figures: Mapping[Category, Figures]
    curves: Mapping[Category, ScoreCurve]
    intervals: Mapping[Category, Interval | None]
    interval: Interval | None
    confusions: Confusions
    costs: ErrorCosts
    slices: Sequence[Slice]


class FileEvaluation:
    """Matches frames as they come, and computes the figures of all of them.

    Parameters
    ----------
    operating : from which scores on detections count in the matrix and operating points
    accept_partial : whether to count frames of which annotations or detections were refused
    categories : the category map of the detector
    """

    def __init__(
        self,
        operating: OperatingScores,
        iou_type: IouType,
        *,
        accept_partial: bool = False,
        categories: CategoryMap = SAME_NAMES,
    ) -> None:
        self._operating = operating
        self._pairs = ImagePairs(iou_type, accept_partial=accept_partial, categories=categories)
        self._columns: list[NamedColumns] = []
        self._costs = ErrorCostPool()
        self._confusions: Confusions = Counter()
        self._tagged = TaggedFrames()

    def add(self, item: FrameItem) -> None:
        """Match a frame; the same frame must not be added twice."""
        pair = self._pairs.of(item)
        if pair is None:
            return
        self._tagged.put(item.frame_id, tuple((item.tags or {}).items()))
        match = frame_match(*pair)
        self._columns.append(_columns(item.frame_id, match))
        self._costs.put_match(item.frame_id, match)
        scores = self._operating.by_category(_DETECTOR, match.categories)
        self._confusions.update(confusions_of(match, scores))

    def add_refused(self, rejection: Rejection) -> None:
        """Count the image as left out, if the whole of it was refused."""
        self._pairs.add_refused(rejection)

    def evaluated(self) -> Evaluated:
        """The figures of all frames.

        Raises
        ------
        InvalidRecord
            `no_masks`: masks are compared, and no detection, or no annotation, has one.
        """
        self._pairs.require_masks()
        state = MatchState(self._operating)
        state.add_named(NamedColumns.joined(self._columns))
        figures = state.of(_DETECTOR, Subset.ALL)
        snapshot = state.snapshot()
        return Evaluated(
            operating=self._operating,
            images=len(self._columns),
            left_out=self._pairs.left_out,
            figures=figures,
            curves=state.score_curves(_DETECTOR, Subset.ALL),
            intervals=_intervals(snapshot, list(figures)),
            interval=snapshot.interval(_DETECTOR, Subset.ALL),
            confusions=self._confusions,
            costs=self._costs.costs(),
            slices=state.slices(_DETECTOR, Subset.ALL, self._tagged.frames),
        )


def _columns(frame_id: FrameId, frame: FrameMatch) -> NamedColumns:
    """The matches of one frame's categories."""
    count = len(frame.categories)
    single_image = np.zeros(count, np.int64)
    cells = Cells(
        part=np.full(count, REST, np.int64),
        captured=single_image,
        revision=single_image,
        truths=frame.ground_truths,
        starts=frame.starts,
        scores=frame.scores,
        overlaps=frame.overlaps,
        matched=frame.matched,
        ignored=frame.ignored,
        errors=frame.error_codes,
    )
    return NamedColumns(
        Names([_DETECTOR], single_image),
        Names(frame.categories, np.arange(count)),
        Names([frame_id], single_image),
        Names([_VEHICLE], single_image),
        cells,
    )


def _intervals(
    snapshot: MatchSnapshot, categories: Sequence[Category]
) -> dict[Category, Interval | None]:
    return {
        category: snapshot.category_interval((_DETECTOR, category), Subset.ALL)
        for category in categories
    }
