"""Tags that follow from where, when and by whom a frame was captured."""

from datetime import UTC, datetime, timedelta, timezone

import h3
import pytest

from services.contracts.events import FrameCaptured, Position
from services.contracts.identity import VehicleId
from services.contracts.names import MAX_TAGS
from services.domain.derived_tags import daylight, solar_time, sun_height, tags_of
from tests import samples

BERLIN = Position(lat=52.52, lon=13.40)


def captured(at: datetime, position: Position | None = BERLIN, **update: object) -> FrameCaptured:
    changes = {"captured_at": at, "position": position, **update}
    return samples.frame_captured("f").model_copy(update=changes)


def test_the_suns_height_is_that_of_the_published_example() -> None:
    # Reda and Andreas, NREL/TP-560-34302 (2008), appendix A.5: 39.872046 degrees, without
    # refraction. It allows for the observer's parallax, .002 degrees, which the almanac leaves out.
    at = datetime(2003, 10, 17, 12, 30, 30, tzinfo=timezone(timedelta(hours=-7)))

    assert sun_height(39.742476, -105.1786, at) == pytest.approx(39.872046, abs=0.01)


@pytest.mark.parametrize(
    ("lat", "month", "expected"),
    [(0.0, 3, 90), (23.44, 6, 90), (90.0, 6, 23.44), (-90.0, 6, -23.44), (52.52, 12, 14.04)],
)
def test_the_sun_is_highest_where_it_should_be(lat: float, month: int, expected: float) -> None:
    day = datetime(2026, month, 21, tzinfo=UTC)
    noon = max(sun_height(lat, 0.0, day + timedelta(minutes=m)) for m in range(24 * 60))

    assert noon == pytest.approx(expected, abs=0.6)


def test_daylight_turns_to_dusk_at_sunset_and_to_night_after_civil_twilight() -> None:
    # Berlin, 21 March 2026: sunset 17:20 UTC, end of civil twilight 17:53 UTC.
    day = datetime(2026, 3, 21, tzinfo=UTC)
    times = {"17:10": "day", "17:30": "dusk", "18:05": "night", "04:20": "night", "04:50": "dusk"}
    for text, expected in times.items():
        hour, minute = map(int, text.split(":"))
        height = sun_height(52.52, 13.40, day.replace(hour=hour, minute=minute))
        assert daylight(height) == expected, text


def test_the_local_hour_follows_the_longitude_across_the_date_line() -> None:
    at = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)

    assert [solar_time(lon, at).hour for lon in (0, 15, -15, 179, -179)] == [23, 0, 22, 11, 11]


def test_a_frame_with_a_position_gets_all_derived_tags_beside_its_own() -> None:
    at = datetime(2026, 6, 21, 10, 30, tzinfo=UTC)
    frame = captured(at, vehicle_id=VehicleId("v7"), tags={"weather": "rain", "daylight": "cave"})

    assert tags_of(frame) == {
        "weather": "rain",
        "daylight": "cave",  # its own
        "vehicle": "v7",
        "local_hour": "11",
        "h3": h3.latlng_to_cell(52.52, 13.40, 7),
    }


def test_a_frame_without_a_position_has_its_vehicle_only() -> None:
    frame = captured(datetime(2026, 6, 21, tzinfo=UTC), None, tags=None, vehicle_id=VehicleId("v"))

    assert tags_of(frame) == {"vehicle": "v"}


def test_a_frame_of_unknown_time_has_no_hour() -> None:
    found = tags_of(captured(datetime(1970, 1, 1, tzinfo=UTC), tags=None))

    assert set(found) == {"vehicle", "h3"}


def test_derived_tags_give_way_where_an_event_has_no_room() -> None:
    at = datetime(2026, 6, 21, tzinfo=UTC)
    own = {f"key{n}": "x" for n in range(MAX_TAGS - 1)}

    found = tags_of(captured(at, tags=own, vehicle_id=VehicleId("v" * 129)))

    assert found == {**own, "local_hour": "00"}
