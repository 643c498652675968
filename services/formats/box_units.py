"""Refuses boxes that are not `[x, y, width, height]` in pixels, where these are expected.

Fractions of the image would lie in its first pixel, and two corners would be too large: each
detection would be a false positive, and each object a miss.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection
from services.contracts.identity import Box
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.geometry import Size
from services.formats.items import FrameItem, Located, RecordKind, Rejection
from services.formats.readers.records import Groups, ImageKey

P = TypeVar("P", Detection, Annotation)

_FURTHEST: Final = 1.5
"""Detectors return fractions a little below 0 and above 1. No frame has all of its objects within
one and a half pixels of its corner."""
_FIRST: Final = 500
"""Boxes of a file that are examined: those of one file are alike."""
_MIN_BOXES: Final = 10
"""Fewer may lie by chance so that they can be read both ways."""
_ROUNDING: Final = 1
"""Pixels by which tools put a box outside its image."""


def require_pixels(boxes: Sequence[Box]) -> None:
    """Refuse the boxes of a frame if all of them are fractions of the image.

    Raises
    ------
    InvalidRecord
        `box_in_fractions`.
    """
    if boxes and all(map(_is_fraction, boxes)):
        raise _error(boxes[0])


def require_sides(file: Path, groups: Groups, sizes: Mapping[ImageKey, Size]) -> None:
    """Refuse a file whose boxes are two corners, `[left, top, right, bottom]`.

    Parameters
    ----------
    groups : the file's records by image
    sizes : the declared sizes of images

    Raises
    ------
    InvalidRecord
        `box_of_corners`: all of the first boxes lie within their images as corners, and most of
        them reach out of their images otherwise.
    """
    first = list(islice(_sized_boxes(groups, sizes), _FIRST))
    if len(first) < _MIN_BOXES or not all(_corners_inside(bbox, size) for bbox, size in first):
        return
    outside = [bbox for bbox, size in first if _reaches_out(bbox, size)]
    if 2 * len(outside) > len(first):
        raise InvalidRecord(
            f"{file}: a bbox is [x, y, width, height], and these are corners, such as"
            f" {[*outside[0]]}: of the first {len(first)}, {len(outside)} would reach out of their"
            " image. Give the right minus the left side as width, and the lower minus the upper one"
            " as height",
            reason="box_of_corners",
        )


def frame_in_pixels(item: FrameItem, rejections: list[Rejection]) -> FrameItem:
    """The frame without detections or annotations that are fractions.

    Boxes are checked before they are scaled: a fraction of a large image would be one no more.
    Refused detections become None: an empty list would claim that the detector found nothing.
    Without its annotations the frame is incomplete: it would count as annotated and empty.
    """
    if _are_fractions(item.detections):
        adjustments = Counter(item.adjustments)
        adjustments[Adjustment.NO_DETECTIONS_LEFT] += 1
        rejections += _refused(item, item.detections or (), RecordKind.DETECTION)
        item = replace(item, detections=None, detections_complete=False, adjustments=adjustments)
    if _are_fractions(item.annotations):
        rejections += _refused(item, item.annotations or (), RecordKind.ANNOTATION)
        item = replace(item, annotations=(), complete=False)
    return item


def _sized_boxes(groups: Groups, sizes: Mapping[ImageKey, Size]) -> Iterator[tuple[Box, Size]]:
    for image, records in groups.items():
        for record in records if image in sizes else ():
            try:
                yield fields.box(record.value.get("bbox")), sizes[image]
            except InvalidRecord:  # refused when its frame is read
                continue


def _corners_inside(box: Box, size: Size) -> bool:
    """Whether the numbers are the left, top, right and bottom side of a box in the image."""
    left, top, right, bottom = box
    across = -_ROUNDING <= left < right <= size[0] + _ROUNDING
    return across and -_ROUNDING <= top < bottom <= size[1] + _ROUNDING


def _reaches_out(box: Box, size: Size) -> bool:
    x, y, width, height = box
    return x + width > size[0] + _ROUNDING or y + height > size[1] + _ROUNDING


def _are_fractions(parts: Sequence[Located[P]] | None) -> bool:
    return bool(parts) and all(_is_fraction(part.value.bbox) for part in parts or ())


def _is_fraction(box: Box) -> bool:
    x, y, width, height = box
    return min(x, y) > -_FURTHEST and max(x + width, y + height) < _FURTHEST


def _refused(item: FrameItem, parts: Sequence[Located[P]], kind: RecordKind) -> Iterator[Rejection]:
    for part in parts:
        error = _error(part.value.bbox)
        raw = fields.raw(part.value.model_dump())
        yield Rejection(
            error.reason, str(error), part.location, raw, kind=kind, frame_id=item.frame_id
        )


def _error(box: Box) -> InvalidRecord:
    detail = (
        f"bbox {[*box]} is in fractions of the image, as all boxes of its frame are: multiply them"
        " by the image's width and height"
    )
    return InvalidRecord(detail, reason="box_in_fractions")
