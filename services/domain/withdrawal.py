"""Predictions and ground truth that an undo takes back: what replaces them, and who skips it."""

from typing import Final

from services.contracts.events import FrameAnnotated, PredictionsMade

WITHDRAWN_SOURCE: Final = "undo"
"""The `annotation_source` of withdrawn ground truth."""


def in_force(truth: FrameAnnotated | None) -> FrameAnnotated | None:
    """A frame's latest ground truth; None if it is withdrawn, as if nobody had annotated it."""
    return None if truth is None or truth.withdrawn else truth


def withdrawn(fact: PredictionsMade | FrameAnnotated) -> PredictionsMade | FrameAnnotated:
    """The fact without its content; its revision is the publisher's to assign.

    It is incomplete too, so that a reader that does not know `withdrawn` does not count it.
    """
    if isinstance(fact, PredictionsMade):
        emptied = {"revision": 1, "complete": False, "withdrawn": True, "detections": ()}
        return fact.model_copy(update=emptied)
    return FrameAnnotated(
        frame_id=fact.frame_id,
        annotation_source=WITHDRAWN_SOURCE,
        complete=False,
        withdrawn=True,
        annotations=(),
    )
