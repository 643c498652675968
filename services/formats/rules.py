"""The rules that every frame passes after its reader, on every input path.

They map boxes and masks to the actual, upright image if the declared size makes the mapping clear,
and refuse the frame otherwise.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, Rle
from services.contracts.identity import Box
from services.formats import fields, masks
from services.formats.adjustments import Adjustment
from services.formats.geometry import Size, is_scaling, scaled_box, turned_box, turned_size
from services.formats.items import FrameItem, Located

P = TypeVar("P", Detection, Annotation)


@dataclass(frozen=True)
class Picture:
    """A frame's actual image.

    Parameters
    ----------
    size : width and height, upright
    orientation : EXIF's, 1 to 8; 1 if unknown
    """

    size: Size
    orientation: int = 1


def require_touching(box: Box, size: Size | None) -> None:
    """Refuse a box wholly outside its image; detectors return boxes partly outside.

    Raises
    ------
    InvalidRecord
        `box_outside_image`, or `box_far_outside`: see `require_near`.
    """
    if size is None or _touches(box, 0, 0, *size):
        return
    require_near(box, size)
    detail = f"bbox {[*box]} lies outside the image of {size[0]} x {size[1]}"
    raise InvalidRecord(detail, reason="box_outside_image")


def require_near(box: Box, size: Size) -> None:
    """Refuse a box further outside its image than this is large.

    Raises
    ------
    InvalidRecord
        `box_far_outside`: no detector is so far off, so the box is in another unit or of another
        image, and an object is missing without it.
    """
    wide, high = size
    if _touches(box, -wide, -high, 2 * wide, 2 * high):
        return
    detail = f"bbox {[*box]} lies further outside the image than this is large, {wide} x {high}"
    raise InvalidRecord(detail, reason="box_far_outside")


def _touches(box: Box, left: float, top: float, right: float, bottom: float) -> bool:
    x, y, width, height = box
    return left < x + width and x < right and top < y + height and y < bottom


def require_same_size(mask: Rle | None, size: Size) -> None:
    """Refuse a mask that is not of its image's size.

    Raises
    ------
    InvalidRecord
        `size_mismatch`.
    """
    if mask is None or mask.size == size[::-1]:
        return
    detail = f"a mask is for {mask.size[1]} x {mask.size[0]} pixels, the image has {size[0]} x"
    raise InvalidRecord(f"{detail} {size[1]}", reason="size_mismatch")


def fitted(item: FrameItem, picture: Picture) -> FrameItem:
    """Map the frame's boxes and masks to the actual image, and declare that image's size.

    Raises
    ------
    InvalidRecord
        `size_mismatch`: the declared size is neither the image's size, nor related to it by
        orientation or scaling. `invalid_mask`: a mask is too large to be mapped.
        `malformed_record`: a box is far outside after scaling.
    """
    adjustments = Counter(item.adjustments)
    codes: set[Adjustment] = set()
    annotations = _on(picture, item.annotations, item.size, adjustments, codes)
    found_on = item.detections_size or item.size
    detections = _on(picture, item.detections, found_on, adjustments, codes)
    adjustments.update(codes)
    return replace(
        item,
        size=picture.size,
        detections_size=None,
        annotations=annotations,
        detections=detections,
        adjustments=adjustments,
    )


def _on(
    picture: Picture,
    parts: Sequence[Located[P]] | None,
    declared: Size | None,
    adjustments: Counter[Adjustment],
    codes: set[Adjustment],
) -> tuple[Located[P], ...] | None:
    """Map the parts to the image. Adjustments of the whole frame are added to `codes`, once."""
    if not parts:
        return None if parts is None else ()
    declared = declared or _declared_by_masks(parts)
    move = _move(declared or picture.size, picture)
    codes |= move.adjustments
    if _is_orientation_open(declared, picture):
        codes.add(Adjustment.ORIENTATION_ASSUMED)
    return tuple(replace(part, value=move.of(part.value, adjustments)) for part in parts)


@dataclass(frozen=True)
class _Move:
    """The mapping from the image that boxes were drawn on to the actual image."""

    drawn_on: Size
    orientation: int
    actual: Size

    @property
    def adjustments(self) -> set[Adjustment]:
        turned = {Adjustment.TURNED} if self.orientation != 1 else set()
        return turned | ({Adjustment.SCALED} if self._upright != self.actual else set())

    @property
    def _upright(self) -> Size:
        return turned_size(self.drawn_on, self.orientation)

    def of(self, value: P, adjustments: Counter[Adjustment]) -> P:
        """The detection or annotation, mapped to the actual image."""
        if value.mask is not None and value.mask.size != self.drawn_on[::-1]:
            adjustments[Adjustment.MASK_LEFT_OUT] += 1
            value = value.model_copy(update={"mask": None})
        if not self.adjustments:
            return value
        box = turned_box(value.bbox, self.drawn_on, self.orientation)
        changes: dict[str, object] = {"bbox": scaled_box(box, self._upright, self.actual)}
        if isinstance(value, Annotation) and value.area is not None:
            changes["area"] = value.area * math.prod(self.actual) / math.prod(self.drawn_on)
        if value.mask is not None:
            changes["mask"] = masks.moved(value.mask, self.orientation, self.actual)
        return fields.checked(type(value), **(dict(value) | changes))


def _declared_by_masks(parts: Sequence[Located[P]]) -> Size | None:
    """The size that all masks share, used if nothing else declares one."""
    sizes = {part.value.mask.size[::-1] for part in parts if part.value.mask is not None}
    if len(sizes) > 1:
        detail = f"its masks are of {len(sizes)} sizes, and nothing says which is the image's"
        raise InvalidRecord(detail, reason="size_mismatch")
    return next(iter(sizes), None)


def _move(declared: Size, picture: Picture) -> _Move:
    actual, orientation = picture.size, picture.orientation
    stored = turned_size(actual, orientation)
    if declared == actual:
        return _Move(declared, 1, actual)
    if declared == stored:
        return _Move(declared, orientation, actual)
    upright, lying = is_scaling(declared, actual), is_scaling(declared, stored)
    if upright and (stored == actual or not lying):
        return _Move(declared, 1, actual)
    if lying and not upright:
        return _Move(declared, orientation, actual)
    turned = f" with EXIF orientation {orientation}" if orientation != 1 else ""
    raise InvalidRecord(
        f"its boxes are for {declared[0]} x {declared[1]} pixels, the image has {actual[0]} x"
        f" {actual[1]}{turned}: correct width and height, or leave them out where the boxes are"
        " right for the image",
        reason="size_mismatch",
    )


def _is_orientation_open(declared: Size | None, picture: Picture) -> bool:
    """Whether it is unknown if boxes were drawn before or after the EXIF orientation applied."""
    if picture.orientation == 1:
        return False
    return declared is None or turned_size(picture.size, picture.orientation) == picture.size
