"""Map objects: errors of one category at one place, from any drive.

A sign that a detector mistakes is mistaken by every vehicle that passes, so errors per box count
busy roads more than errors of the map. Errors of a category are one map object if their frames were
taken within RADIUS_M of the first one. Positions are the vehicle's, which sees an object from some
tens of metres before it.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import h3

from services.contracts.identity import Category
from services.domain.geodesy import metres_between

RADIUS_M: Final = 25.0
PLACE_RESOLUTION: Final = 10
"""Cells with edges of 60 m and more, so that whatever is within the radius is in a cell or beside
it."""


class LocatedError(NamedTuple):
    """An error of a category, and where its frame was taken; latitude and longitude in degrees."""

    category: Category
    lat: float
    lon: float


class MapObject(NamedTuple):
    """The place of its first error, and how many errors it has."""

    category: Category
    lat: float
    lon: float
    errors: int


def map_objects(errors: Iterable[LocatedError]) -> list[MapObject]:
    """The map objects of these errors, those with the most errors first.

    An error belongs to the nearest object within RADIUS_M, and begins one if there is none. Errors
    are taken in the order of category and position, so the result does not depend on theirs.
    """
    counts: list[int] = []
    firsts: list[LocatedError] = []
    near: defaultdict[tuple[Category, str], list[int]] = defaultdict(list)
    for error in sorted(errors):
        cell = h3.latlng_to_cell(error.lat, error.lon, PLACE_RESOLUTION)
        around = [
            at for neighbour in h3.grid_disk(cell, 1) for at in near[error.category, neighbour]
        ]
        apart, found = min(
            ((metres_between(*firsts[at][1:], *error[1:]), at) for at in around),
            default=(RADIUS_M + 1, -1),
        )
        if apart <= RADIUS_M:
            counts[found] += 1
            continue
        near[error.category, cell].append(len(firsts))
        firsts.append(error)
        counts.append(1)
    objects = [MapObject(*first, n) for first, n in zip(firsts, counts, strict=True)]
    return sorted(objects, key=lambda item: (-item.errors, item))
