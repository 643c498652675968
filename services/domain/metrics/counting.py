"""Which matches count: as reference, for failure models, and in mAP."""

from enum import StrEnum

from services.contracts.events import FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId
from services.domain.ports.frames import FrameRecord


class NotCounted(StrEnum):
    """Why a detector's match of a frame does not count."""

    WITHDRAWN = "withdrawn"
    """An undo took the predictions or the ground truth back."""
    PARTIAL_GROUND_TRUTH = "partial_ground_truth"
    """An annotation was refused: a correct detection of its object would count as false."""
    PARTIAL_PREDICTIONS = "partial_predictions"
    """A detection was refused: its object would count as missed."""
    COPY = "copy"
    """Another frame has the same image: its objects would count twice."""


def why_not_counted(
    truth: FrameAnnotated, predictions: PredictionsMade, *, copy: bool
) -> NotCounted | None:
    """Why a match does not count; None if it does.

    Parameters
    ----------
    copy : whether the frame is a copy, and copies do not count
    """
    if copy:
        return NotCounted.COPY
    if truth.withdrawn or predictions.withdrawn:
        return NotCounted.WITHDRAWN
    if not truth.complete:
        return NotCounted.PARTIAL_GROUND_TRUTH
    return None if predictions.complete else NotCounted.PARTIAL_PREDICTIONS


def counts_without_match(record: FrameRecord, detector: DetectorId, *, copy: bool) -> bool:
    """Whether a frame counts for a detector, and has neither objects nor detections.

    A frame that has either gets a match, which may not be stored yet.

    Parameters
    ----------
    copy : whether the frame is a copy, and copies do not count
    """
    truth, predictions = record.ground_truth, record.predictions.get(detector)
    if truth is None or predictions is None:
        return False
    if why_not_counted(truth, predictions, copy=copy) is not None:
        return False
    has_objects = any(annotation.counts for annotation in truth.annotations)
    return not has_objects and not record.named(detector).predictions.detections
