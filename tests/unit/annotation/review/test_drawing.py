import math
from datetime import UTC, datetime, timedelta

import pytest

from services.annotation.review.charts import Series, chart
from services.annotation.review.place_map import HEIGHT, WIDTH, PinnedPosition, place_map
from services.annotation.review.windows import window_of
from services.contracts.events import Position

AT = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "region", [(0.0, 0.0, 10.0, 10.0), (630.0, 350.0, 10.0, 10.0), (300.0, 0.0, 20.0, 360.0)]
)
def test_a_window_lies_inside_the_image_and_holds_its_region(
    region: tuple[float, float, float, float],
) -> None:
    x, y, width, height = window_of(region, (640, 360), 4 / 3)

    assert (x >= 0, y >= 0, x + width <= 640, y + height <= 360) == (True,) * 4
    assert x <= region[0]
    assert y <= region[1]
    assert x + width >= region[0] + region[2]
    assert y + height >= region[1] + region[3]


def test_north_is_up_and_east_is_right() -> None:
    drawn = place_map(
        [
            PinnedPosition(0, "the needle", Position(lat=52.5, lon=13.4)),
            PinnedPosition(1, "candidate 1", Position(lat=52.51, lon=13.42)),
        ],
        [],
    )

    assert drawn is not None
    candidate, needle = drawn.pins
    assert candidate.x > needle.x
    assert candidate.y < needle.y


def test_a_map_across_the_date_line_is_not_drawn_around_the_world() -> None:
    spots = [
        PinnedPosition(n, "", Position(lat=0.0, lon=lon))
        for n, lon in enumerate((179.999, -179.999))
    ]

    drawn = place_map(spots, [])

    assert drawn is not None
    assert drawn.scale[1].endswith(" m")


def test_numbers_at_one_place_are_drawn_beside_each_other_and_inside_the_map() -> None:
    drawn = place_map([PinnedPosition(n, "", Position(lat=1.0, lon=1.0)) for n in range(11)], [])

    assert drawn is not None
    places = [pin.at for pin in drawn.pins]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert min(math.dist(a, b) for a in places for b in places if a != b) >= 16
    assert len(set(places)) == 11


def test_numbers_leave_the_scale_bar_and_the_arrow_to_the_north_legible() -> None:
    corners = ((1.0, 1.0), (1.01, 1.0184))  # below left and above right
    spots = [
        PinnedPosition(n, "", Position(lat=lat, lon=lon)) for n, (lat, lon) in enumerate(corners)
    ]

    drawn = place_map(spots, [])

    assert drawn is not None
    assert all(pin.moved for pin in drawn.pins)
    assert not any(y > 190 and x < 60 + drawn.scale[0] for x, y in (pin.at for pin in drawn.pins))


def test_without_any_position_there_is_no_map() -> None:
    assert place_map([PinnedPosition(0, "", None)], [(1.0, 1.0)]) is None


def test_a_gap_in_the_figures_is_a_gap_in_the_curve() -> None:
    values = [0.1, 0.2, None, 0.3, 0.4]
    points = [(AT + timedelta(hours=hour), value) for hour, value in enumerate(values)]

    drawn = chart("t", "e", [Series("s", points)], from_zero=True)

    assert len(drawn.curves[0].paths) == 2
    assert drawn.curves[0].last == 0.4


def test_an_interval_is_a_band_within_the_axis_and_a_gap_divides_it() -> None:
    points = [(AT + timedelta(hours=hour), 0.5) for hour in range(4)]
    series = Series("s", points, [(0.1, 0.6), None, (0.4, 0.7), (0.4, 3.0)])

    drawn = chart("t", "e", [series], from_zero=True)

    single, area = drawn.curves[0].bands
    assert (single.count(" L"), area.count(" L")) == (3, 3)
    assert drawn.curves[0].last_interval == (0.4, 3.0)
    assert [label for _, label in drawn.y_ticks] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0], [1e6, 2e6]])
def test_any_values_fit_their_axis(values: list[float]) -> None:
    points = [(AT + timedelta(hours=hour), value) for hour, value in enumerate(values)]

    drawn = chart("t", "e", [Series("s", points)], from_zero=False)

    places = [y for y, _ in drawn.y_ticks]
    assert drawn.curves[0].end is not None
    assert min(places) <= drawn.curves[0].end[1] <= max(places)


@pytest.mark.parametrize(
    "span",
    [
        timedelta(0),
        timedelta(milliseconds=300),
        timedelta(seconds=40),
        timedelta(minutes=1),
        timedelta(hours=30),
        timedelta(days=3),
        timedelta(days=364),
    ],
)
def test_times_on_the_axis_are_never_the_same_text_twice(span: timedelta) -> None:
    points = [(AT + timedelta(seconds=7), 0.5), (AT + timedelta(seconds=7) + span, 0.6)]

    drawn = chart("t", "e", [Series("s", points)], from_zero=True).x_ticks

    assert len({text for _, text in drawn}) == len(drawn)
    assert 1 <= len(drawn) <= 5
    assert all(48 <= x <= 510 for x, _ in drawn)


def test_a_time_on_the_axis_stands_where_it_was() -> None:
    at = datetime(2026, 5, 4, 6, 29, 40, tzinfo=UTC)
    points = [(at, 0.5), (at + timedelta(seconds=60), 0.5)]

    drawn = chart("t", "e", [Series("s", points)], from_zero=True).x_ticks

    assert [text for _, text in drawn] == ["06:29:45", "06:30:00", "06:30:15", "06:30:30"]
    assert [x for x, _ in drawn] == [86.5, 202.0, 317.5, 433.0]
