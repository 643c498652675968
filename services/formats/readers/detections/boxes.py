"""The forms in which detectors write boxes, as `[x, y, width, height]`."""

from typing import NamedTuple

from services.formats import fields
from services.formats.geometry import Size


class RelativeBox(NamedTuple):
    """`[x, y, width, height]` as fractions of the image's width and height."""

    x: float
    y: float
    width: float
    height: float

    def in_pixels(self, size: Size) -> list[float]:
        """The box on an image of this size."""
        wide, high = size
        return [self.x * wide, self.y * high, self.width * wide, self.height * high]


def numbers(values: object, count: int, name: str) -> list[float]:
    """A list of numbers, NaN included.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it is something else.
    """
    parsed = [fields.number(value) for value in values] if isinstance(values, list | tuple) else []
    found = [value for value in parsed if value is not None]
    if len(parsed) != count or len(found) != count:
        raise fields.malformed(f"{name} is not {count} numbers")
    return found


def from_corners(values: object) -> list[float]:
    """The box of `[left, top, right, bottom]`.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it is not four numbers.
    """
    left, top, right, bottom = numbers(values, 4, "the box")
    return [left, top, right - left, bottom - top]


def from_centre(values: object) -> list[float]:
    """The box of `[centre x, centre y, width, height]`.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it is not four numbers.
    """
    x, y, width, height = numbers(values, 4, "the box")
    return [x - width / 2, y - height / 2, width, height]
