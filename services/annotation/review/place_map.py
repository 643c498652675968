"""A map without tiles: relative positions of frames, north up, with a scale bar."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.annotation.review.local_plane import LocalPlane, Number, scale_bar
from services.contracts.events import Position
from services.domain.arrays import FloatArray

WIDTH, HEIGHT = 360.0, 220.0
_MARGIN = 26.0
_PIN = 8.5
_CORNER, _LABEL = 24.0, 52.0
"""Below left is the scale bar with its label to the right, above right the arrow to the north."""
_MIN_METRES = 60.0


@dataclass(frozen=True)
class Pin:
    """A numbered position; number 0 is the needle.

    Attributes
    ----------
    x, y : the position, in SVG units
    at : where the number is drawn: next to the position if other numbers cover it
    """

    number: int
    x: float
    y: float
    at: tuple[float, float]
    label: str
    heading: float | None

    @property
    def moved(self) -> bool:
        """Whether the number is drawn away from its position."""
        return self.at != (self.x, self.y)


@dataclass(frozen=True)
class PlaceMap:
    """The map as the template draws it, in SVG units.

    Attributes
    ----------
    dots : positions of other frames, which show the driven streets, as one SVG path: one element
        per frame would be most of the page
    scale : length and label of the scale bar
    """

    pins: Sequence[Pin]
    dots: str
    scale: tuple[float, str]
    missing: int


@dataclass(frozen=True)
class PinnedPosition:
    """A position that becomes a pin."""

    number: int
    label: str
    position: Position | None


def place_map(
    pinned: Sequence[PinnedPosition], others: Iterable[tuple[float, float]]
) -> PlaceMap | None:
    """The map of these pins; None if none has a position.

    Parameters
    ----------
    others : latitude and longitude of other frames
    """
    known = [(item, item.position) for item in pinned if item.position is not None]
    if not known:
        return None
    lat0 = sum(position.lat for _, position in known) / len(known)
    lon0 = known[0][1].lon
    metres = LocalPlane(lat0, lon0).metres
    flat = [(item, position, *metres(position.lat, position.lon)) for item, position in known]
    xs, ys = [entry[2] for entry in flat], [entry[3] for entry in flat]
    span_x = max(max(xs) - min(xs), _MIN_METRES)
    span_y = max(max(ys) - min(ys), _MIN_METRES)
    unit = min((WIDTH - 2 * _MARGIN) / span_x, (HEIGHT - 2 * _MARGIN) / span_y)
    mid_x, mid_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2

    def drawn(x: Number, y: Number) -> tuple[Number, Number]:
        return WIDTH / 2 + (x - mid_x) * unit, HEIGHT / 2 - (y - mid_y) * unit

    places = [_rounded(drawn(x, y)) for _, _, x, y in flat]
    scale = scale_bar(unit, WIDTH / 3)
    apart = _apart(places, scale[0])
    pins = [
        Pin(item.number, *place, at, item.label, position.heading)
        for (item, position, _, _), place, at in zip(flat, places, apart, strict=True)
    ]
    lat, lon = np.array([*others], float).reshape(-1, 2).T
    return PlaceMap(
        # The needle and the first candidates are drawn last, on top: they must be legible.
        pins=sorted(pins, key=lambda pin: -pin.number),
        dots=_dots(*drawn(*metres(lat, lon))),
        scale=scale,
        missing=len(pinned) - len(known),
    )


def _dots(x: FloatArray, y: FloatArray) -> str:
    """The SVG path of a dot at each place inside the map, once per whole unit."""
    inside = (x > 0) & (x < WIDTH) & (y > 0) & (y < HEIGHT)
    units = np.column_stack((x[inside], y[inside])).round().astype(int).tolist()
    return "".join(f"M{x} {y}h0" for x, y in sorted({(x, y) for x, y in units}))


def _apart(places: Sequence[tuple[float, float]], scale: float) -> list[tuple[float, float]]:
    """Where to draw the numbers: at their position, or near it.

    None covers another, the scale bar of this length, or the arrow to the north.
    """
    taken: list[tuple[float, float]] = []
    for x, y in places:
        options = (
            _rounded((x + reach * math.cos(turn), y + reach * math.sin(turn)))
            for reach in range(0, 120, 9)
            for turn in [math.tau * part / 12 for part in range(12)]
        )
        free = (option for option in options if _is_free(option, taken, scale))
        taken.append(next(free, (x, y)))
    return taken


def _is_free(
    point: tuple[float, float], taken: Sequence[tuple[float, float]], scale: float
) -> bool:
    x, y = point
    inside = _PIN < x < WIDTH - _PIN and _PIN < y < HEIGHT - _PIN
    on_scale = x < scale + _LABEL + _PIN and y > HEIGHT - _CORNER - _PIN
    on_north = x > WIDTH - _CORNER - _PIN and y < _CORNER + _PIN
    return (
        inside
        and not on_scale
        and not on_north
        and all(math.dist(point, other) >= 2 * _PIN for other in taken)
    )


def _rounded(point: tuple[float, float]) -> tuple[float, float]:
    return round(point[0], 1), round(point[1], 1)
