"""Read a record's box and mask in COCO format, including the variants that tools write."""

from collections.abc import Callable
from functools import partial

from services.contracts.errors import InvalidRecord
from services.contracts.events import Rle
from services.contracts.identity import Box
from services.formats import fields, masks
from services.formats.adjustments import Adjustment
from services.formats.fields import Record
from services.formats.geometry import Size, overlap, scaled_box, upright_box
from services.formats.items import Located
from services.formats.masks import Shape
from services.formats.readers.records import Notes, without

DrawnBox = tuple[Box, Rle | None]

_SAME_PX = 1.5
"""Rounding tolerance between a box and the bounding box of the outline drawn from it."""
_FULL = 0.95
"""Share of its box that a rectangle fills at least, rasterised to whole pixels."""


def annotated_shape(source: Located[Record], size: Size | None, notes: Notes) -> DrawnBox:
    """An annotation's box and mask. Swapped corners of the box are put in order.

    Raises
    ------
    InvalidRecord
        There is no box, or it is invalid.
    """
    sort = partial(fields.sorted_box, adjustments=notes.adjustments)
    return _shape(source, size, notes, sort)


def detected_shape(source: Located[Record], size: Size | None, notes: Notes) -> DrawnBox:
    """A detection's box and mask.

    Raises
    ------
    InvalidRecord
        There is no box, or it is invalid.
    """
    return _shape(source, size, notes, fields.box)


def _shape(
    source: Located[Record], size: Size | None, notes: Notes, box_of: Callable[[object], Box]
) -> DrawnBox:
    """The box (if absent, the mask's bounding box) and the mask.

    If only the mask is refused, the record keeps its box, which is what metrics use.
    """
    record = source.value
    segmentation = record.get("segmentation")
    turn = _rotation(record)
    try:
        bbox_field = record.get("bbox")
        bbox = None if bbox_field is None or bbox_field == [] else box_of(bbox_field)
    except InvalidRecord as exc:
        if exc.reason != "box_without_area" or not segmentation:
            raise
        bbox = None
    if bbox is None:
        return _around(record, segmentation, size, notes)
    shape = without(lambda: masks.from_coco(segmentation, size), source, notes.rejected)
    if turn % 180:
        return _upright(bbox, turn, shape, segmentation, notes)
    return _in_one_size(bbox, shape, size, notes)


def _rotation(record: Record) -> float:
    """Degrees, from where CVAT and Datumaro write them; `bbox` is the box before rotation."""
    attributes = record.get("attributes")
    return fields.rotation(attributes) if isinstance(attributes, dict) else 0.0


def _around(record: Record, segmentation: object, size: Size | None, notes: Notes) -> DrawnBox:
    """The bounding box of the mask, or of polygons that cannot be rasterised."""
    shape = masks.from_coco(segmentation, size)
    if shape is None:
        outline = masks.around(segmentation)
        if outline is None:
            return fields.box(record.get("bbox")), None
        notes.adjustments[Adjustment.BOX_FROM_POLYGON] += 1
        return outline, None
    notes.adjustments[Adjustment.BOX_FROM_POLYGON] += 1
    return _in_one_size(shape.bbox, shape, size, notes)


def _upright(
    bbox: Box, turn: float, shape: Shape | None, segmentation: object, notes: Notes
) -> DrawnBox:
    """The upright box around a rotated one.

    A mask that is not the unrotated rectangle is taken to be already rotated.
    """
    notes.adjustments[Adjustment.ROTATED_BOX] += 1
    outline = shape.bbox if shape else masks.around(segmentation)
    if outline is None or (_is_near(outline, bbox) and _is_full(shape)):
        return upright_box(bbox, turn), None
    return outline, shape and shape.mask


def _is_near(one: Box, other: Box) -> bool:
    corners = ((x, y, x + width, y + height) for x, y, width, height in (one, other))
    return all(abs(a - b) <= _SAME_PX for a, b in zip(*corners, strict=True))


def _is_full(shape: Shape | None) -> bool:
    return shape is None or shape.area >= _FULL * shape.bbox[2] * shape.bbox[3]


def _in_one_size(bbox: Box, shape: Shape | None, size: Size | None, notes: Notes) -> DrawnBox:
    """Bring a box and a mask of different sizes to an image of the declared size.

    Some detectors write masks in their working size, with boxes in that size or in the image's.
    The box is assumed to be in the size in which it overlaps its mask more.
    """
    drawn_on = shape and shape.mask.size[::-1]
    if shape is None or size is None or drawn_on is None or drawn_on == size:
        return bbox, shape and shape.mask
    notes.adjustments[Adjustment.MASK_SCALED] += 1
    on_image = scaled_box(shape.bbox, drawn_on, size)
    if overlap(bbox, shape.bbox) > overlap(bbox, on_image):
        bbox = scaled_box(bbox, drawn_on, size)
    return bbox, masks.moved(shape.mask, 1, size)
