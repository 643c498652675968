"""Streets, water and green areas below the map of drives, from a file of vector tiles."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, product
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from services.annotation.review.tile_archive import TileArchive
from services.annotation.review.vector_tile import Feature, Shape, features

_MAX_TILES: Final = 9
_FINEST: Final = 1.0
"""Parts smaller than this, in units of the drawing, are not drawn."""

Points = NDArray[np.float64]
Projection = Callable[[Points, Points], Points]
"""From latitudes and longitudes, (N,) each, to (N, 2) places in the drawing."""


class Ground(StrEnum):
    """What is drawn, in this order; the names are classes of the style sheet."""

    GREEN = "green"
    WATER = "water"
    BUILDING = "building"
    STREAM = "stream"
    STREET = "street"


_AREAS: Final = {
    Ground.GREEN: ("landcover", "landuse", "park", "green"),
    Ground.WATER: ("water", "ocean"),
    Ground.BUILDING: ("building",),
}
_LINES: Final = {
    Ground.STREAM: ("water",),
    Ground.STREET: ("road", "street", "transportation"),
}
"""Parts of layers' names in the schemas of Protomaps, OpenMapTiles and Shortbread."""


@dataclass(frozen=True)
class Bounds:
    """The part of the earth that a drawing shows, in degrees; `east` may exceed 180."""

    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True)
class BaseMap:
    """Draws what lies below drives."""

    archive: TileArchive

    @classmethod
    def open(cls, path: Path) -> Self:
        """The map in this file.

        Raises
        ------
        InvalidSettings
            It has no vector tiles that can be drawn.
        """
        return cls(TileArchive.open(path))

    def paths(self, bounds: Bounds, project: Projection) -> Mapping[Ground, str]:
        """An SVG path of each kind of ground that the file has there."""
        drawn: dict[Ground, list[str]] = {ground: [] for ground in Ground}
        zoom, tiles = self._tiles(bounds)
        for x, y in tiles:
            for feature in _features(self.archive.tile(zoom, x % 2**zoom, y)):
                ground = _ground(feature)
                if ground:
                    drawn[ground] += _paths(feature, _placed(zoom, x, y, project))
        return {ground: "".join(paths) for ground, paths in drawn.items() if paths}

    def _tiles(self, bounds: Bounds) -> tuple[int, list[tuple[int, int]]]:
        """The highest zoom that needs few tiles, and those tiles."""
        for zoom in reversed(self.archive.zooms):
            columns, rows = _sides(zoom, bounds)
            # Counted before they are listed: a continent has millions of the finest tiles.
            if len(columns) * len(rows) <= _MAX_TILES:
                return zoom, list(product(columns, rows))
        lowest = self.archive.zooms.start
        return lowest, list(islice(product(*_sides(lowest, bounds)), _MAX_TILES))


def _sides(zoom: int, bounds: Bounds) -> tuple[range, range]:
    """The columns and the rows of the tiles that these bounds touch."""
    left, top = _tile_at(zoom, bounds.north, bounds.west)
    right, bottom = _tile_at(zoom, bounds.south, bounds.east)
    return range(left, right + 1), range(top, bottom + 1)


def _tile_at(zoom: int, lat: float, lon: float) -> tuple[int, int]:
    """Column and row of the tile at a place, in Web Mercator."""
    side = 1 << zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return math.floor((lon + 180) / 360 * side), min(max(math.floor(y * side), 0), side - 1)


def _placed(zoom: int, x: int, y: int, project: Projection) -> Callable[[Points], Points]:
    """From shares of a tile to places in the drawing."""
    side = 1 << zoom

    def placed(part: Points) -> Points:
        lon = (part[:, 0] + x) / side * 360 - 180
        lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (part[:, 1] + y) / side))))
        return project(lat, lon)

    return placed


def _features(tile: bytes | None) -> Iterator[Feature]:
    try:
        yield from features(tile or b"")
    except (ValueError, RuntimeError):  # RuntimeError: a geometry that ends within a point
        return  # the rest of a damaged tile is left out


def _ground(feature: Feature) -> Ground | None:
    known = _LINES if feature.shape is Shape.LINE else _AREAS
    found = (ground for ground, names in known.items() if _named(feature.layer, names))
    return next(found, None)


def _named(layer: str, names: Sequence[str]) -> bool:
    return any(name in layer for name in names)


def _paths(feature: Feature, placed: Callable[[Points], Points]) -> Iterator[str]:
    for part in feature.parts:
        points = np.round(placed(part), 1)
        kept = np.r_[True, np.abs(np.diff(points, axis=0)).max(axis=1) > 0]
        points = points[kept]
        if np.ptp(points, axis=0).max() >= _FINEST:
            path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points.tolist())
            yield path + "z" if feature.shape is Shape.AREA else path
