"""Map boxes from the image that a tool showed to the actual, upright image.

Coordinates are pixels from the top left corner.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box

Size = tuple[int, int]
"""Width and height in pixels."""

_SAME_SHAPE = 0.02
"""How far two images' aspect ratios may differ by rounding: one pixel in fifty."""
_LYING = 5
"""EXIF orientations from this one on swap width and height."""

# EXIF 2.32, tag 0x0112: maps a point of the stored image to the upright image.
_POINTS: Final[dict[int, Callable[[float, float, float, float], tuple[float, float]]]] = {
    1: lambda x, y, wide, high: (x, y),  # noqa: ARG005  # all take the same arguments
    2: lambda x, y, wide, high: (wide - x, y),  # noqa: ARG005
    3: lambda x, y, wide, high: (wide - x, high - y),
    4: lambda x, y, wide, high: (x, high - y),  # noqa: ARG005
    5: lambda x, y, wide, high: (y, x),  # noqa: ARG005
    6: lambda x, y, wide, high: (high - y, x),  # noqa: ARG005
    7: lambda x, y, wide, high: (high - y, wide - x),
    8: lambda x, y, wide, high: (y, wide - x),  # noqa: ARG005
}


def upright_box(box: Box, degrees: float) -> Box:
    """The smallest upright box around a box that is rotated about its centre.

    Parameters
    ----------
    box : `[x, y, width, height]` before the rotation
    degrees : clockwise or counterclockwise; both give the same upright box

    Raises
    ------
    InvalidRecord
        `rotated_box`: the angle is not finite.
    """
    if not math.isfinite(degrees):
        raise InvalidRecord(f"rotation {degrees} is not an angle", reason="rotated_box")
    x, y, width, height = box
    quarters, rest = divmod(degrees % 180, 90)
    if rest == 0:  # exact; sine and cosine would round
        wide, high = (height, width) if quarters else (width, height)
    else:
        sine, cosine = (abs(turn(math.radians(degrees))) for turn in (math.sin, math.cos))
        wide = width * cosine + height * sine
        high = width * sine + height * cosine
    return (x + (width - wide) / 2, y + (height - high) / 2, wide, high)


def scaled_box(box: Box, declared: Size, actual: Size) -> Box:
    """Scale a box from an image of the declared size to one of the actual size."""
    x, y, width, height = box
    across, down = actual[0] / declared[0], actual[1] / declared[1]
    return (x * across, y * down, width * across, height * down)


def turned_box(box: Box, stored: Size, orientation: int) -> Box:
    """Map a box from the stored pixels to the upright image.

    Parameters
    ----------
    stored : the image's size before the orientation is applied
    orientation : EXIF's, 1 to 8
    """
    x, y, width, height = box
    point = _POINTS[orientation]
    one, other = point(x, y, *stored), point(x + width, y + height, *stored)
    left, top = min(one[0], other[0]), min(one[1], other[1])
    wide, high = (height, width) if orientation >= _LYING else (width, height)
    return (left, top, wide, high)


def turned_size(size: Size, orientation: int) -> Size:
    """Convert between the stored and the upright size of an image, in either direction."""
    return size[::-1] if orientation >= _LYING else size


def is_scaling(declared: Size, actual: Size) -> bool:
    """Whether one size is the other scaled by a single factor and rounded to whole pixels."""
    across, down = actual[0] / declared[0], actual[1] / declared[1]
    # Rounding moves a side of the derived image by at most one pixel. 1920 x 1088, which a video
    # encoder pads, is not a scaling of 1920 x 1080; nor is 1 x 1.
    rounded = abs(across - down) <= 1 / declared[0] + 1 / declared[1] or (
        abs(1 / across - 1 / down) <= 1 / actual[0] + 1 / actual[1]
    )
    return rounded and abs(across / down - 1) <= _SAME_SHAPE


def box_around(points: Iterable[Sequence[float]]) -> Box:
    """The smallest upright box around points, of which there is at least one."""
    across, down = zip(*points, strict=True)
    left, top = min(across), min(down)
    return (left, top, max(across) - left, max(down) - top)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    sides = (
        min(one[at] + one[at + 2], other[at] + other[at + 2]) - max(one[at], other[at])
        for at in (0, 1)
    )
    shared = math.prod(max(0.0, side) for side in sides)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union > 0 else 0.0
