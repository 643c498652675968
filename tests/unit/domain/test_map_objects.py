"""Errors of one category at one place are one map object."""

import math

import numpy as np
import pytest

from services.contracts.identity import Category
from services.domain.geodesy import metres_between
from services.domain.mining.map_objects import RADIUS_M, LocatedError, MapObject, map_objects

SIGN, LIGHT = Category("sign"), Category("light")
LAT, LON = 52.5, 13.4


def error(category: Category, north: float, east: float, *, lon: float = LON) -> LocatedError:
    """An error so many metres from the place."""
    degree = 6_371_000 * math.pi / 180
    across = east / (degree * math.cos(math.radians(LAT)))
    return LocatedError(category, LAT + north / degree, lon + across)


def test_errors_of_a_category_within_the_radius_are_one_object_from_any_drive() -> None:
    errors = [error(SIGN, 0, 0), error(SIGN, 10, 15), error(SIGN, 0, 60), error(LIGHT, 0, 0)]

    found = map_objects(errors)

    assert [(item.category, item.errors) for item in found] == [(SIGN, 2), (LIGHT, 1), (SIGN, 1)]


@pytest.mark.parametrize("seed", range(3))
def test_every_error_is_within_the_radius_of_its_object_and_their_order_does_not_matter(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    errors = [error(SIGN, *rng.uniform(0, 400, 2)) for _ in range(300)]

    found = map_objects(errors)

    assert map_objects([errors[k] for k in rng.permutation(300)]) == found
    assert sum(item.errors for item in found) == 300
    places = [(item.lat, item.lon) for item in found]
    assert all(min(metres_between(*e[1:], *at) for at in places) <= RADIUS_M for e in errors)
    for k, at in enumerate(places):
        assert all(metres_between(*at, *other) > RADIUS_M for other in places[:k])


def test_a_place_goes_on_across_the_date_line() -> None:
    errors = [error(SIGN, 0, -5, lon=180.0), error(SIGN, 0, 5, lon=-180.0)]

    assert [item.errors for item in map_objects(errors)] == [2]
    assert map_objects([]) == []
    assert map_objects([LocatedError(SIGN, 90.0, 0.0)]) == [MapObject(SIGN, 90.0, 0.0, 1)]
