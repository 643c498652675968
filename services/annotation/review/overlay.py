"""Boxes to draw over a picture as SVG, in the frame's pixels."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from services.annotation.review.windows import window_of
from services.contracts.events import FrameAnnotated, FrameCaptured, Rle
from services.contracts.identity import Box, RegionId
from services.domain.detection.mask_shapes import outline_path
from services.domain.ports.frames import FrameRecord

ASPECT = 4 / 3
_MASK_COLUMNS = 160
"""Columns of a mask to draw: a frame may have a hundred masks, and each column is 20 bytes."""
_ROUNDED_PX = 1.0
"""Tolerance: windows are rounded to whole pixels."""


@dataclass(frozen=True)
class Shape:
    """One box.

    Attributes
    ----------
    kind : `truth`, `prediction`, `region` (the prediction in question, or the annotation that was
        missed) or `asked` (an annotation in question)
    label : the title that a pointer or a screen reader shows
    tag : a short label to draw
    score : of a prediction
    mask : an SVG path of the object's pixels; empty if it has no mask
    """

    kind: str
    bbox: Box
    label: str
    tag: str = ""
    score: float | None = None
    mask: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture with its boxes.

    Attributes
    ----------
    window : the part of the frame to show, in its pixels
    region : the region at the window's centre; None shows the whole frame
    """

    frame_id: str
    window: Box
    region: Box | None
    shapes: tuple[Shape, ...]
    alt: str

    @property
    def view_box(self) -> str:
        """SVG's `viewBox`."""
        return " ".join(f"{value:g}" for value in self.window)

    @property
    def box_text(self) -> str:
        """The region as a URL carries it."""
        return ",".join(f"{value:g}" for value in self.region) if self.region else ""


def close_up(
    record: FrameRecord,
    truth: FrameAnnotated | None,
    *,
    detector: str,
    region_id: RegionId,
    region: Box,
    alt: str,
) -> Picture | None:
    """The region with its surroundings; None if the image is not known."""
    if record.captured is None:
        return None
    window = window_of(region, _size(record.captured), ASPECT)
    shapes = _shapes(record, truth, detector, region_id)
    if not any(shape.kind == "region" for shape in shapes):
        shapes.append(Shape("region", region, "predicted earlier"))
    seen = tuple(shape for shape in shapes if _meets(shape.bbox, window))
    return Picture(record.frame_id, window, region, seen, alt)


def whole(
    record: FrameRecord,
    truth: FrameAnnotated | None,
    *,
    detector: str | None,
    alt: str,
    region_id: RegionId | None = None,
) -> Picture | None:
    """The whole frame; None if the image is not known."""
    if record.captured is None:
        return None
    width, height = _size(record.captured)
    shapes = _shapes(record, truth, detector, region_id)
    return Picture(record.frame_id, (0.0, 0.0, width, height), None, tuple(shapes), alt)


def proposed(
    record: FrameRecord,
    version: FrameAnnotated,
    highlighted: Collection[int],
    alt: str,
    around: Box | None,
) -> Picture | None:
    """A frame with an annotator's proposed ground truth; None if the image is not known.

    Parameters
    ----------
    highlighted : indices of the annotations in question
    around : a box that must be visible; the whole frame is shown if None, or if no window holds it
    """
    if record.captured is None:
        return None
    shapes = _shapes(record, version, None, None)
    drawn = [
        replace(shape, kind="asked") if index in highlighted else shape
        for index, shape in enumerate(shapes)  # annotations come first, in their order
    ]
    # The annotations in question are drawn last, above the others.
    drawn.sort(key=lambda shape: shape.kind == "asked")
    width, height = _size(record.captured)
    window: Box = (0.0, 0.0, width, height)
    if around is not None:
        close = window_of(around, (width, height), ASPECT)
        around = around if _holds(close, around) else None
        window = close if around is not None else window
    seen = tuple(shape for shape in drawn if _meets(shape.bbox, window))
    return Picture(record.frame_id, window, around, seen, alt)


def _holds(window: Box, box: Box) -> bool:
    x, y, width, height = box
    left, top, wide, high = window
    beyond = (left - x, top - y, x + width - left - wide, y + height - top - high)
    return max(beyond) <= _ROUNDED_PX


def _size(captured: FrameCaptured) -> tuple[int, int]:
    return captured.image.width, captured.image.height


def _shapes(
    record: FrameRecord, truth: FrameAnnotated | None, detector: str | None, region_id: str | None
) -> list[Shape]:
    shapes = []
    annotated = zip(truth.annotation_ids(), truth.annotations, strict=True) if truth else ()
    for annotation_id, annotation in annotated:
        # A needle's region that is an annotation was missed.
        is_missed = annotation_id == region_id
        label = f"ground truth: {annotation.category}" + ", not detected" * is_missed
        kind = "region" if is_missed else "truth"
        mask = _mask(record, annotation.mask)
        shapes.append(Shape(kind, annotation.bbox, label, annotation.category, mask=mask))
    for name, predictions in record.predictions.items():
        if detector not in (None, name):
            continue
        for detection, detection_id in zip(
            predictions.detections, predictions.region_ids(), strict=True
        ):
            kind = "region" if detection_id == region_id else "prediction"
            label = f"predicted: {detection.category}, score {detection.score:.2f}"
            tag = f"{detection.category} {detection.score:.2f}"
            mask = _mask(record, detection.mask)
            shapes.append(Shape(kind, detection.bbox, label, tag, detection.score, mask))
    # The region is drawn last, above the others.
    return sorted(shapes, key=lambda shape: shape.kind == "region")


def _mask(record: FrameRecord, mask: Rle | None) -> str:
    if mask is None or record.captured is None:
        return ""
    return outline_path(mask, _size(record.captured), _MASK_COLUMNS)


def _meets(box: Box, window: Box) -> bool:
    x, y, width, height = box
    left, top, wide, high = window
    return x < left + wide and left < x + width and y < top + high and top < y + height
