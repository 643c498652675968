"""Compares two detectors' results on a ground truth: without a broker, stores or services."""

from collections import Counter
from collections.abc import Iterable

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, IouType, PredictionsMade, Split
from services.contracts.identity import DetectorId, FrameId, VehicleId
from services.contracts.matches import CategoryMatched
from services.domain.detection.frame_matching import match_frame
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.counting import why_not_counted
from services.evaluator.versions.comparison import Version, compared
from services.evaluator.versions.report import ComparisonReport
from services.formats.items import UNKNOWN_TIME, FrameItem


class FileVersion:
    """Matches one detector's results as they come.

    Parameters
    ----------
    name : what the comparison calls it
    accept_partial : whether to count frames of which annotations or detections were refused
    """

    def __init__(self, name: str, iou_type: IouType, *, accept_partial: bool = False) -> None:
        self._name = DetectorId(name)
        self._iou_type: IouType = iou_type
        self._accept_partial = accept_partial
        self._matches: list[CategoryMatched] = []
        self.frames: set[FrameId] = set()
        self.left_out: Counter[str] = Counter()

    def add(self, item: FrameItem) -> None:
        """Match a frame; the same frame must not be added twice."""
        if item.annotations is None or item.detections is None:
            self.left_out["no_ground_truth" if item.annotations is None else "no_results"] += 1
            return
        predictions = PredictionsMade(
            frame_id=item.frame_id,
            detector="file",
            version="1",
            complete=item.detections_complete or self._accept_partial,
            iou_type=self._iou_type,
            detections=tuple(part.value for part in item.detections),
        )
        truth = FrameAnnotated(
            frame_id=item.frame_id,
            complete=item.complete or self._accept_partial,
            annotations=tuple(part.value for part in item.annotations),
        )
        reason = why_not_counted(truth, predictions, copy=False)
        if reason is not None:
            self.left_out[reason] += 1
            return
        self.frames.add(item.frame_id)
        self._matches += self._matched(item, predictions, truth)

    def on(self, frames: Iterable[FrameId]) -> Version:
        """The version on some of its frames."""
        chosen = set(frames)
        return Version(self._name, [m for m in self._matches if m.frame_id in chosen])

    def _matched(
        self, item: FrameItem, predictions: PredictionsMade, truth: FrameAnnotated
    ) -> Iterable[CategoryMatched]:
        for category, rows in match_frame(predictions, truth).items():
            yield CategoryMatched(
                frame_id=item.frame_id,
                detector=self._name,
                category=category,
                revision=1,
                split=Split.REFERENCE,
                shortlisted=False,
                vehicle_id=VehicleId("file"),
                drive_id=None,
                captured_at=UNKNOWN_TIME,
                tags=tuple(sorted((item.tags or {}).items())),
                **vars(rows),
            )


def compared_files(
    old: FileVersion, new: FileVersion, operating: OperatingScores
) -> ComparisonReport:
    """Compare two results on the frames that count for both.

    Raises
    ------
    InvalidRecord
        `nothing_to_compare`: there is no such frame.
    """
    frames = old.frames & new.frames
    if not frames:
        raise InvalidRecord(
            "no image counts in both: their ground truth or results were refused",
            reason="nothing_to_compare",
        )
    found = compared(old.on(frames), new.on(frames), frames, operating)
    return ComparisonReport.of(found, "all")
