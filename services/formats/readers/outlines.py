"""The points of outlines as tools write them."""

from collections.abc import Iterator, Sequence

from services.contracts.errors import InvalidRecord
from services.formats import fields

Point = tuple[float, float]

_CURVE = "C"
_STEPS = 16
"""Straight lines in place of a curve; one of 300 pixels is then less than a pixel off."""


def points_of(value: object) -> list[Point]:
    """The points of `[[x, y], …]`; empty if it is no list.

    Raises
    ------
    InvalidRecord
        `invalid_box`: a point is not two numbers.
    """
    found = []
    for point in value if isinstance(value, list) else ():
        numbers = [fields.number(side) for side in point] if isinstance(point, list) else []
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:  # noqa: PLR2004  # x and y
            raise InvalidRecord("a point is not two numbers", reason="invalid_box")
        found.append((numbers[0], numbers[1]))
    return found


def with_curves(points: Sequence[Point], types: str) -> list[Point]:
    """The corners of a closed outline with cubic Bézier curves.

    Parameters
    ----------
    types : a letter per point; `C` is the first control point of a curve, whose second control
        point and end are the two points after it
    """
    corners = list(points[:1])
    at = 1
    while at < len(points):
        if types[at : at + 1] == _CURVE:
            one, other, end = (points[(at + after) % len(points)] for after in range(3))
            corners += _curve(corners[-1], one, other, end)
            at += 3
        else:
            corners.append(points[at])
            at += 1
    return corners


def _curve(start: Point, one: Point, other: Point, end: Point) -> Iterator[Point]:
    """Points on a cubic Bézier curve, without its start."""
    for step in range(1, _STEPS + 1):
        t = step / _STEPS
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        sides = zip(start, one, other, end, strict=True)
        x, y = (sum(w * side for w, side in zip(weights, of, strict=True)) for of in sides)
        yield x, y
