"""Boxes and masks over a picture."""

from services.annotation.review.overlay import whole
from services.contracts.events import FrameAnnotated, Rle
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from tests.samples import DETECTOR, annotation, detection, frame_captured, predictions_made

MASK = Rle(size=(2, 2), counts="211")
"""The first pixel of the second column."""


def test_shapes_have_the_masks_of_their_objects() -> None:
    captured = frame_captured("f1")
    masked = {"mask": MASK}
    made = predictions_made(detection().model_copy(update=masked), detection(score=0.2))
    truth = FrameAnnotated(
        frame_id=FrameId("f1"), annotations=(annotation().model_copy(update=masked),)
    )
    record = FrameRecord(FrameId("f1"), captured, predictions={DETECTOR: made})

    drawn = whole(record, truth, detector=None, alt="")

    assert drawn is not None
    assert [bool(shape.mask) for shape in drawn.shapes] == [True, True, False]
