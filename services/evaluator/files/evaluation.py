"""Evaluates a data set's files once: without a broker, stores or services."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.errors import InvalidRecord
from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    IouType,
    PredictionsMade,
)
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.category_map import SAME_NAMES, CategoryMap
from services.domain.detection.frame_matching import FrameMatch, frame_match
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import Figures
from services.domain.metrics.confusion import Confusions, confusions_of
from services.domain.metrics.counting import why_not_counted
from services.domain.metrics.error_costs import ErrorCostPool, ErrorCosts
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.match_snapshot import MatchSnapshot
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.score_curves import ScoreCurve
from services.domain.metrics.slices import Slice, TaggedFrames
from services.domain.metrics.subsets import REST, Subset
from services.domain.statistics.resampling import Interval
from services.formats.items import FrameItem

_DETECTOR = DetectorId("file@1")
_VEHICLE = VehicleId("file")
_NO_DETECTIONS = "no_usable_detections"
_NO_GROUND_TRUTH = "no_ground_truth"


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
        self._iou_type: IouType = iou_type
        self._accept_partial = accept_partial
        self._categories = categories
        self._columns: list[NamedColumns] = []
        self._costs = ErrorCostPool()
        self._confusions: Confusions = Counter()
        self._left_out: Counter[str] = Counter()
        self._objects: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()
        self._tagged = TaggedFrames()

    def add(self, item: FrameItem) -> None:
        """Match a frame; the same frame must not be added twice."""
        if item.annotations is None:
            self._left_out[_NO_GROUND_TRUTH] += 1
            return
        if item.detections is None and not self._accept_partial:
            self._left_out[_NO_DETECTIONS] += 1
            return
        prediction_event, truth = self._events(item)
        predictions = self._categories.named(prediction_event).predictions
        reason = why_not_counted(truth, predictions, copy=False)
        if reason is not None:
            self._left_out[reason] += 1
            return
        self._count_masks(detections=predictions.detections, annotations=truth.annotations)
        self._tagged.put(item.frame_id, tuple((item.tags or {}).items()))
        match = frame_match(predictions, truth)
        self._columns.append(_columns(item.frame_id, match))
        self._costs.put_match(item.frame_id, match)
        scores = self._operating.by_category(_DETECTOR, match.categories)
        self._confusions += confusions_of(match, scores)

    def evaluated(self) -> Evaluated:
        """The figures of all frames.

        Raises
        ------
        InvalidRecord
            `no_masks`: masks are compared, and no detection, or no annotation, has one.
        """
        if self._iou_type == "segm":
            self._require_masks()
        state = MatchState(self._operating)
        state.add_named(NamedColumns.joined(self._columns))
        figures = state.of(_DETECTOR, Subset.ALL)
        snapshot = state.snapshot()
        return Evaluated(
            operating=self._operating,
            images=len(self._columns),
            left_out=self._left_out,
            figures=figures,
            curves=state.score_curves(_DETECTOR, Subset.ALL),
            intervals=_intervals(snapshot, list(figures)),
            interval=snapshot.interval(_DETECTOR, Subset.ALL),
            confusions=self._confusions,
            costs=self._costs.costs(),
            slices=state.slices(_DETECTOR, Subset.ALL, self._tagged.frames),
        )

    def _count_masks(self, **parts: Sequence[Detection] | Sequence[Annotation]) -> None:
        for name, columns in parts.items():
            self._objects[name] += len(columns)
            self._masked[name] += sum(part.mask is not None for part in columns)

    def _require_masks(self) -> None:
        # One object without a mask counts as its box; all of them are another kind of file.
        for name, count in self._objects.items():
            if count and not self._masked[name]:
                raise InvalidRecord(
                    f"none of {count:,} {name} has a mask: give them `segmentation` (and images"
                    " `width` and `height`, for polygons), or compare boxes",
                    reason="no_masks",
                )

    def _events(self, item: FrameItem) -> tuple[PredictionsMade, FrameAnnotated]:
        name, _, version = _DETECTOR.partition("@")
        return (
            PredictionsMade(
                frame_id=item.frame_id,
                detector=name,
                version=version,
                complete=item.detections_complete or self._accept_partial,
                iou_type=self._iou_type,
                detections=tuple(part.value for part in item.detections or ()),
            ),
            FrameAnnotated(
                frame_id=item.frame_id,
                complete=item.complete or self._accept_partial,
                annotations=tuple(part.value for part in item.annotations or ()),
            ),
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
