"""Which regions of a frame's image are hidden from everybody."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.errors import MissingImage
from services.contracts.events import Image, PredictionsMade
from services.contracts.identity import Box, Category
from services.domain.ports.frames import FrameRecord

_MARGIN = 0.1
"""Share of a box's sides by which it is widened: detectors cut off hair, and plates' rims."""


class HiddenImage(MissingImage):
    """An image that stays hidden until a detector has found what is to be redacted."""

    default_reason = "not_redacted_yet"


class DeletedImage(HiddenImage):
    """An image that was too old, and never comes back."""

    default_reason = "image_deleted"


class RedactionStyle(StrEnum):
    """What becomes of a region's pixels."""

    BLACK = "black"
    BLUR = "blur"


@dataclass(frozen=True)
class ShownImage:
    """An image as people see it.

    Attributes
    ----------
    regions : [x, y, width, height] in pixels of the upright image, in order
    """

    image: Image
    regions: tuple[Box, ...]
    style: RedactionStyle

    @property
    def digest(self) -> str:
        """Of all that determines its pixels; of an image as it was captured, that image's own."""
        if not self.regions:
            return self.image.sha256
        text = repr((self.image.sha256, self.style.value, self.regions))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class RedactionRule:
    """The categories to redact, and the detector whose predictions find them.

    Attributes
    ----------
    categories : nothing is redacted if there are none
    detector : its name, for all versions; or `name@version`
    hides_undetected : whether frames without its complete predictions are hidden
    """

    categories: Collection[Category] = ()
    detector: str = ""
    style: RedactionStyle = RedactionStyle.BLACK
    hides_undetected: bool = True

    def shown(self, frame: FrameRecord) -> ShownImage:
        """A captured frame's image as people see it.

        Raises
        ------
        HiddenImage
            The detector's predictions are missing, or were refused in part.
        DeletedImage
            The image was too old.
        MissingImage
            The frame has no image yet.
        """
        if frame.captured is None:
            raise MissingImage(f"the image of {frame.frame_id} is not known yet")
        if frame.image_deleted:
            raise DeletedImage(f"the image of {frame.frame_id} was deleted: it was too old")
        image = frame.captured.image
        if not self.categories:
            return ShownImage(image, (), self.style)
        found = [
            predictions
            for predictions in frame.predictions.values()
            if is_named(predictions, self.detector)
        ]
        if self.hides_undetected and not any(predictions.complete for predictions in found):
            raise HiddenImage(f"{self.detector} has not looked at {frame.frame_id} yet")
        boxes = {
            _widened(detection.bbox, image)
            for predictions in found
            for detection in predictions.detections
            if detection.category in self.categories
        }
        return ShownImage(image, tuple(sorted(boxes)), self.style)


def is_named(predictions: PredictionsMade, detector: str) -> bool:
    """Whether they are of the detector with this name, or this `name@version`."""
    return detector in (predictions.detector, predictions.detector_id)


def _widened(box: Box, image: Image) -> Box:
    """The box with a margin, within the image."""
    x, y, width, height = box
    left, top = max(0.0, x - _MARGIN * width), max(0.0, y - _MARGIN * height)
    right = min(float(image.width), x + (1 + _MARGIN) * width)
    bottom = min(float(image.height), y + (1 + _MARGIN) * height)
    return (left, top, right - left, bottom - top)
