"""Which candidates are later sightings at a known place, from any drive and detector version."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Self

import h3

from services.contracts.identity import Category
from services.domain.geodesy import metres_between
from services.domain.mining.map_objects import PLACE_RESOLUTION, RADIUS_M
from services.domain.ports.known_places import KnownPlace

Position = tuple[float, float]
"""Latitude and longitude in degrees."""


class PlaceIndex:
    """Finds known places near a position."""

    def __init__(self, places: dict[tuple[Category, str], list[Position]]) -> None:
        self._places = places

    @classmethod
    def of(cls, places: Iterable[KnownPlace]) -> Self:
        """The index of these places."""
        by_cell: defaultdict[tuple[Category, str], list[Position]] = defaultdict(list)
        for place in places:
            cell = h3.latlng_to_cell(place.lat, place.lon, PLACE_RESOLUTION)
            by_cell[place.category, cell].append((place.lat, place.lon))
        return cls(dict(by_cell))

    def has(self, category: Category, position: Position | None) -> bool:
        """Whether a place of the category is known within RADIUS_M of a position."""
        if position is None or not self._places:
            return False
        around = h3.grid_disk(h3.latlng_to_cell(*position, PLACE_RESOLUTION), 1)
        near: Sequence[Position] = [
            place for cell in around for place in self._places.get((category, cell), ())
        ]
        return any(metres_between(*place, *position) <= RADIUS_M for place in near)
