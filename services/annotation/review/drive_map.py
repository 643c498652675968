"""The map of drives' paths and of the needles along them, on a plain ground."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Self

import numpy as np

from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.review.base_map import BaseMap, Bounds, Ground
from services.annotation.review.local_plane import LocalPlane, scale_bar
from services.contracts.identity import DriveId, FrameId
from services.domain.arrays import FloatArray

WIDTH, HEIGHT = 960.0, 600.0
_MARGIN: Final = 30.0
_MIN_METRES: Final = 60.0
_NEAR: Final = 19.0
"""Needles nearer than this to a pin, in units of the drawing, share it: pins do not overlap."""

LatLon = tuple[float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class PlacedNeedles:
    """Needles that are drawn as one pin, and where."""

    number: int
    x: float
    y: float
    rows: Sequence[NeedleRow]


@dataclass(frozen=True)
class DriveMap:
    """The map as the template draws it, in SVG units.

    Attributes
    ----------
    paths : an SVG path for each drive
    dots : an SVG path of other frames
    scale : length and label of the scale bar
    missing : needles without a position
    ground : an SVG path of each kind of ground below the drives, in the order of drawing
    """

    paths: Mapping[DriveId, str]
    dots: str
    pins: Sequence[PlacedNeedles]
    scale: tuple[float, str]
    missing: int
    ground: Mapping[Ground, str]


def drive_map(
    rows: Sequence[NeedleRow],
    positions: Mapping[FrameId, LatLon],
    paths: Mapping[DriveId, Sequence[LatLon]],
    others: Sequence[LatLon] = (),
    *,
    base_map: BaseMap | None = None,
) -> DriveMap | None:
    """The map of these needles; None if none has a position.

    Parameters
    ----------
    positions : by frame, its latitude and longitude
    paths : by drive, positions in the order of capture
    others : positions of frames of any drive, drawn where they are on the map
    base_map : draws streets and water below; None draws neither
    """
    placed = [row for row in rows if row.needle.frame_id in positions]
    if not placed:
        return None
    needles = [positions[row.needle.frame_id] for row in placed]
    drawing = _Drawing.of([*needles, *(place for path in paths.values() for place in path)])
    return DriveMap(
        paths={drive: _line(drawing.points(path)) for drive, path in paths.items() if path},
        dots=_dots(drawing.points(others)) if others else "",
        pins=_pins(placed, drawing.points(needles)),
        scale=scale_bar(drawing.unit, WIDTH / 4),
        missing=len(rows) - len(placed),
        ground=base_map.paths(drawing.bounds, drawing.places) if base_map else {},
    )


@dataclass(frozen=True)
class _Drawing:
    """Where places are in the drawing.

    Attributes
    ----------
    east, north : of the drawing's centre, in metres
    unit : units of the drawing per metre
    """

    plane: LocalPlane
    east: float
    north: float
    unit: float

    @classmethod
    def of(cls, places: Sequence[LatLon]) -> Self:
        """The largest drawing that shows all of these places."""
        lat, lon = np.array(places).T
        plane = LocalPlane(float(lat.mean()), float(lon[0]))
        flat = np.column_stack(plane.metres(lat, lon))
        low, high = flat.min(axis=0), flat.max(axis=0)
        inner = np.array([WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN])
        unit = float((inner / np.maximum(high - low, _MIN_METRES)).min())
        east, north = ((high + low) / 2).tolist()
        return cls(plane, east, north, unit)

    def points(self, places: Sequence[LatLon]) -> list[Point]:
        """These places, in units of the drawing."""
        lat, lon = np.array(places).T
        x, y = np.round(self.places(lat, lon), 1).T.tolist()
        return [*zip(x, y, strict=True)]

    def places(self, lat: FloatArray, lon: FloatArray) -> FloatArray:
        """These latitudes and longitudes, (N,) each, as (N, 2) units of the drawing."""
        east, north = self.plane.metres(lat, lon)
        x = WIDTH / 2 + (east - self.east) * self.unit
        y = HEIGHT / 2 - (north - self.north) * self.unit
        return np.column_stack((x, y))

    @property
    def bounds(self) -> Bounds:
        """The part of the earth that the drawing shows."""
        across, up = WIDTH / 2 / self.unit, HEIGHT / 2 / self.unit
        south, west = self.plane.place(self.east - across, self.north - up)
        north, east = self.plane.place(self.east + across, self.north + up)
        return Bounds(south, west, north, east)


def _line(points: Sequence[Point]) -> str:
    """An SVG path through these points, without repeated ones."""
    once = [point for point, _ in groupby(points)]
    first, *rest = (f"{x:g} {y:g}" for x, y in once)
    return f"M{first}" + ("L" + "L".join(rest) if rest else "h0")


def _dots(points: Sequence[Point]) -> str:
    seen = {(round(x), round(y)) for x, y in points if 0 < x < WIDTH and 0 < y < HEIGHT}
    return "".join(f"M{x} {y}h0" for x, y in sorted(seen))


def _pins(rows: Sequence[NeedleRow], places: Sequence[Point]) -> list[PlacedNeedles]:
    """Pins of needles, those of near needles together; from north to south."""
    pins: list[tuple[Point, list[NeedleRow]]] = []
    for place, row in sorted(zip(places, rows, strict=True), key=lambda item: item[0][::-1]):
        near = (needles for pin, needles in pins if math.dist(pin, place) < _NEAR)
        needles = next(near, None)
        if needles is None:
            pins.append((place, [row]))
        else:
            needles.append(row)
    return [PlacedNeedles(n, *place, needles) for n, (place, needles) in enumerate(pins, 1)]
