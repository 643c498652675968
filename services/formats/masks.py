"""COCO masks: read run lengths, rasterise polygons, move masks to the actual image."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import ValidationError

from services.contracts.bounds import MAX_COORDINATE
from services.contracts.errors import InvalidRecord
from services.contracts.events import Rle
from services.contracts.identity import Box
from services.contracts.run_lengths import INVALID_MASK, MAX_PIXELS, run_lengths
from services.formats import fields
from services.formats.geometry import Size, box_around, is_scaling

MAX_OUTLINE = 2_000_000
"""Limit on a shape's perimeter in pixels, which drives drawing cost; COCO's reach thousands."""

MAX_DRAWN_PIXELS = 2**27
"""Limit on the pixels of a mask to be moved, which is decoded in full: 128 MiB at most."""

_Pixels = NDArray[np.uint8]
# EXIF orientations applied to pixels; `geometry.turned_box` does the same for boxes.
_TURNS: Final[dict[int, Callable[[_Pixels], _Pixels]]] = {
    1: lambda drawn: drawn,
    2: np.fliplr,
    3: lambda drawn: np.rot90(drawn, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda drawn: np.rot90(drawn, -1),
    7: lambda drawn: np.rot90(drawn, 2).T,
    8: np.rot90,
}


class Shape(NamedTuple):
    """A mask with its bounding box and its area in pixels."""

    mask: Rle
    bbox: Box
    area: float


def _invalid(detail: str) -> InvalidRecord:
    return InvalidRecord(detail, reason=INVALID_MASK)


def from_coco(segmentation: object, size: tuple[int, int] | None) -> Shape | None:
    """The mask of COCO's `segmentation`: run lengths, or polygons if the size is known.

    Run lengths have the image's size, or a scaled one.

    Parameters
    ----------
    size : width and height of the image

    Returns
    -------
    None if nothing is given, or for polygons without an image size.

    Raises
    ------
    InvalidRecord
        `invalid_mask`: counts that do not fill the image, or too few or invalid points.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, size)
    if not isinstance(segmentation, list):
        raise _invalid("segmentation is neither polygons nor run lengths")
    return from_polygons(segmentation, size) if size else None


def around(segmentation: object) -> Box | None:
    """The bounding box of polygons, for images of unknown size, where no mask can be drawn.

    Returns
    -------
    None if `segmentation` is not a list of polygons.

    Raises
    ------
    InvalidRecord
        As `around_polygons`.
    """
    if not isinstance(segmentation, list) or not segmentation:
        return None
    return around_polygons(segmentation)


def around_polygons(polygons: Sequence[object]) -> Box:
    """The bounding box of polygons `[x1, y1, x2, y2, …]`.

    Raises
    ------
    InvalidRecord
        `invalid_mask`: fewer than three points, or one beyond any image. `box_without_area`.
    """
    outlines = [_outline(polygon, reach=MAX_COORDINATE) for polygon in polygons]
    return fields.box(box_around(point for outline in outlines for point in _points(outline)))


def moved(mask: Rle, orientation: int, actual: Size) -> Rle:
    """A mask, turned upright and then scaled to the actual size (nearest neighbour).

    Parameters
    ----------
    orientation : EXIF's, 1 to 8

    Raises
    ------
    InvalidRecord
        `invalid_mask`: it has too many pixels to decode, or too many runs for an event.
    """
    if max(math.prod(mask.size), math.prod(actual)) > MAX_DRAWN_PIXELS:
        detail = f"the mask has more than {MAX_DRAWN_PIXELS} pixels, and other than the image"
        raise _invalid(detail)
    runs = _decoded(mask.counts)
    drawn = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)
    upright = _TURNS[orientation](drawn.reshape(mask.size, order="F"))
    width, height = actual
    rows, columns = (
        (2 * np.arange(wanted) + 1) * side // (2 * wanted)
        for side, wanted in zip(upright.shape, (height, width), strict=True)
    )
    encoded = coco_mask.encode(np.asfortranarray(upright[np.ix_(rows, columns)]))
    return _mask(actual, encoded["counts"])


def from_polygons(polygons: Sequence[object], size: tuple[int, int]) -> Shape:
    """The union of polygons `[x1, y1, x2, y2, …]`, rasterised as pycocotools does.

    Raises
    ------
    InvalidRecord
        `invalid_mask`: fewer than three points, a point far outside, or an image that is too large.
        `box_without_area`: the mask is empty.
    """
    width, height = size
    outlines = [_outline(polygon, reach=2 * max(width, height)) for polygon in polygons]
    if sum(map(_length, outlines)) > MAX_OUTLINE:
        raise _invalid("the polygons' edges are too long")
    drawn = coco_mask.merge(coco_mask.frPyObjects(outlines, height, width))
    return shape_of((width, height), drawn["counts"])


def _outline(polygon: object, reach: float) -> list[float]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:  # noqa: PLR2004  # three points
        raise _invalid("a polygon is not a list of three or more points")
    numbers = [fields.number(item) for item in polygon]
    outline = [number for number in numbers if number is not None and abs(number) <= reach]
    if len(outline) != len(polygon):
        raise _invalid("a polygon's point is not a number, or far outside the image")
    return outline


def _points(outline: list[float]) -> list[tuple[float, float]]:
    return list(zip(outline[::2], outline[1::2], strict=True))


def _length(outline: list[float]) -> float:
    points = _points(outline)
    return sum(map(math.dist, points, [*points[1:], points[0]]))


def _from_runs(segmentation: dict[str, Any], size: tuple[int, int] | None) -> Shape:
    height, width = _size(segmentation.get("size"))
    if size and size != (width, height) and not is_scaling((width, height), size):
        raise _invalid(f"the mask is {width} x {height}, the image {size[0]} x {size[1]}")
    counts = segmentation.get("counts")
    runs = _decoded(counts) if isinstance(counts, str) else _listed(counts)
    if sum(runs) != height * width:
        raise _invalid("the run lengths do not fill the mask")
    drawn = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return shape_of((width, height), drawn["counts"])


def _size(value: object) -> tuple[int, int]:
    if (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004  # height and width
        and all(isinstance(side, int) and 0 < side <= MAX_COORDINATE for side in value)
        and math.prod(value) < MAX_PIXELS
    ):
        return value[0], value[1]
    raise _invalid("size is not [height, width]")


def _listed(counts: object) -> list[int]:
    if isinstance(counts, list) and all(
        type(run) is int and 0 <= run < MAX_PIXELS for run in counts
    ):
        return counts
    raise _invalid("counts are not run lengths")


def _decoded(counts: str) -> list[int]:
    try:
        return run_lengths(counts)
    except ValueError as exc:
        raise _invalid(str(exc)) from exc


def shape_of(size: Size, counts: bytes) -> Shape:
    """The mask that native code has encoded, with its bounding box and area.

    Raises
    ------
    InvalidRecord
        `invalid_mask`: it has too many pixels, or too many runs for an event. `box_without_area`:
        it is empty.
    """
    mask = _mask(size, counts)
    encoded = {"size": list(mask.size), "counts": counts}
    x, y, width, height = (float(side) for side in coco_mask.toBbox(encoded))
    if width <= 0 or height <= 0:
        raise InvalidRecord("the mask is empty", reason="box_without_area")
    return Shape(mask, (x, y, width, height), float(coco_mask.area(encoded)))


def _mask(size: Size, counts: bytes) -> Rle:
    width, height = size
    try:
        return Rle(size=(height, width), counts=counts.decode())
    except ValidationError as exc:
        raise _invalid(fields.first_of(exc)) from exc
