"""Tags that follow from where, when and by whom a frame was captured.

They let slices be compared where no one tagged anything: `vehicle`, `local_hour`, `daylight` (day,
dusk or night by the sun's height) and `h3`, the cell of Uber's hexagonal grid. The last three need
a position, and hour and daylight the time of capture.

The sun's height is that of the Astronomical Almanac's low-precision formulas, to .01 degrees from
1950 to 2050 (Michalsky, Solar Energy 40:3, 1988). Dusk, and dawn, is civil twilight: from sunset
with refraction, -.833 degrees, down to -6.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Final

import h3

from services.contracts.events import FrameCaptured
from services.contracts.names import MAX_TAG_VALUE_LENGTH, MAX_TAGS

_J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_SUNSET_DEGREES: Final = -0.833
_CIVIL_DEGREES: Final = -6.0
_EARLIEST_YEAR: Final = 1990
"""Importers publish frames of unknown time with one of 1970."""
_H3_RESOLUTION: Final = 7
"""Cells of 5 square kilometres on average: a district."""
_DEGREES_PER_HOUR: Final = 15


def tags_of(captured: FrameCaptured) -> dict[str, str]:
    """The frame's own tags, and those that are derived; of equal keys, its own.

    An event has room for MAX_TAGS tags, so the derived ones give way.
    """
    own_tags = captured.tags or {}
    derived = {key: value for key, value in _derived(captured).items() if key not in own_tags}
    room = MAX_TAGS - len(own_tags)
    return {**own_tags, **dict(list(derived.items())[:room])}


def has_tags(captured: FrameCaptured, tags: AbstractSet[tuple[str, str]]) -> bool:
    """Whether the frame has all of these tags."""
    return tags <= tags_of(captured).items()


def _derived(captured: FrameCaptured) -> Mapping[str, str]:
    tags = {}
    if len(captured.vehicle_id) <= MAX_TAG_VALUE_LENGTH:
        tags["vehicle"] = str(captured.vehicle_id)
    position, at = captured.position, captured.captured_at
    if position is not None and at.year >= _EARLIEST_YEAR:
        tags["local_hour"] = f"{solar_time(position.lon, at).hour:02d}"
        tags["daylight"] = daylight(sun_height(position.lat, position.lon, at))
    if position is not None:
        tags["h3"] = h3.latlng_to_cell(position.lat, position.lon, _H3_RESOLUTION)
    return tags


def solar_time(lon: float, at: datetime) -> datetime:
    """The local mean solar time, as if in UTC: four minutes per degree of longitude.

    It needs no map of time zones, and is within about an hour of most clocks.
    """
    return at.astimezone(UTC) + timedelta(hours=lon / _DEGREES_PER_HOUR)


def daylight(height: float) -> str:
    """Day, dusk or night, by the sun's height in degrees."""
    if height > _SUNSET_DEGREES:
        return "day"
    return "dusk" if height > _CIVIL_DEGREES else "night"


def sun_height(lat: float, lon: float, at: datetime) -> float:
    """The height of the sun's centre above the horizon in degrees, without refraction.

    Parameters
    ----------
    lat, lon : degrees, north and east
    """
    days = (at - _J2000) / timedelta(days=1)
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = math.radians(
        280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439 - 4e-7 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    hours = (days % 1 + 0.5) % 1 * 24
    sidereal = 6.697375 + 0.0657098242 * days + hours
    turned = math.radians(sidereal * _DEGREES_PER_HOUR + lon) - ascension
    parallel = math.radians(lat)
    sine = math.sin(declination) * math.sin(parallel) + (
        math.cos(declination) * math.cos(parallel) * math.cos(turned)
    )
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))
