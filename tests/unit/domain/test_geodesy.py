"""Distances and directions on the ground."""

import pytest

from services.domain.geodesy import bearing, metres_between, offset

DEGREE_M = 111_195
"""A degree of latitude on a sphere with the earth's mean radius."""


@pytest.mark.parametrize(
    ("north", "east", "degrees"),
    [(1, 0, 0), (1, 1, 45), (0, 1, 90), (-1, 0, 180), (0, -1, 270), (1, -1, 315)],
)
def test_a_bearing_is_clockwise_from_north(north: float, east: float, degrees: float) -> None:
    assert bearing(north, east) == pytest.approx(degrees)


def test_a_degree_north_and_one_east_on_the_equator_are_equally_far() -> None:
    assert offset(0, 10, 1, 10) == pytest.approx((DEGREE_M, 0), abs=1)
    assert offset(0, 10, 0, 11) == pytest.approx((0, DEGREE_M), abs=1)
    assert metres_between(0, 10, 0, 9) == pytest.approx(DEGREE_M, abs=1)


def test_a_degree_east_is_half_as_far_at_60_degrees_north() -> None:
    assert offset(60, 10, 60, 11) == pytest.approx((0, DEGREE_M / 2), abs=1)


def test_the_shorter_way_is_taken_across_the_date_line() -> None:
    assert metres_between(0, 179.5, 0, -179.5) == pytest.approx(DEGREE_M, abs=1)
