"""What people see of frames in which categories are to be redacted."""

import pytest

from services.contracts.events import Detection
from services.contracts.identity import Box, Category, DetectorId
from services.domain.ports.frames import FrameRecord
from services.domain.redaction import HiddenImage, RedactionRule, RedactionStyle
from tests import samples

FACE, PLATE = Category("face"), Category("license plate")
RULE = RedactionRule({FACE, PLATE}, "privacy")


def frame(*detections: Detection, version: str = "1", complete: bool = True) -> FrameRecord:
    """A frame of 640 by 480 pixels with predictions of the detector `privacy`, and of `ods`."""
    captured = samples.frame_captured("f1")
    image = captured.image.model_copy(update={"width": 640, "height": 480})
    made = samples.predictions_made(*detections, version=version, complete=complete).model_copy(
        update={"detector": "privacy"}
    )
    other = samples.predictions_made(samples.detection("face"))
    return FrameRecord(
        captured.frame_id,
        captured.model_copy(update={"image": image}),
        predictions={made.detector_id: made, other.detector_id: other},
    )


def face(*box: float) -> Detection:
    x, y, width, height = box
    return samples.detection("face", 0.05, (x, y, width, height))


def test_regions_of_the_categories_have_a_margin_within_the_image() -> None:
    shown = RULE.shown(frame(face(100, 100, 50, 20), face(0, 470, 10, 10)))

    expected: list[Box] = [(0, 469, 11, 11), (95, 98, 60, 24)]
    assert [pytest.approx(box) for box in expected] == list(shown.regions)


def test_only_the_categories_are_redacted() -> None:
    assert RULE.shown(frame(samples.detection("stop sign"))).regions == ()


def test_without_categories_the_image_is_shown_as_captured() -> None:
    record = frame(face(1, 1, 5, 5))
    assert record.captured is not None

    shown = RedactionRule().shown(record)

    assert shown.regions == ()
    assert shown.digest == record.captured.image.sha256


@pytest.mark.parametrize("complete", [None, False])
def test_a_frame_that_the_detector_has_not_seen_in_full_is_hidden(complete: bool | None) -> None:
    record = frame(face(1, 1, 5, 5), complete=bool(complete))
    if complete is None:
        record = FrameRecord(record.frame_id, record.captured)

    with pytest.raises(HiddenImage):
        RULE.shown(record)
    as_is = RedactionRule({FACE}, "privacy", hides_undetected=False)
    assert len(as_is.shown(record).regions) == (0 if complete is None else 1)


def test_a_version_may_be_named() -> None:
    named = RedactionRule({FACE}, DetectorId("privacy@2"))

    assert named.shown(frame(face(1, 1, 5, 5), version="2")).regions
    with pytest.raises(HiddenImage):
        named.shown(frame(face(1, 1, 5, 5), version="1"))


def test_the_digest_says_what_is_seen() -> None:
    once = RULE.shown(frame(face(1, 1, 5, 5)))
    blurred = RedactionRule({FACE}, "privacy", RedactionStyle.BLUR)

    assert once.digest == RULE.shown(frame(face(1, 1, 5, 5))).digest
    assert once.digest != RULE.shown(frame(face(2, 1, 5, 5))).digest
    assert once.digest != blurred.shown(frame(face(1, 1, 5, 5))).digest
