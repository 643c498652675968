"""A vehicle's track from a GPX or NMEA file: where it was at a time, and how far it had come."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from services.contracts.bounds import is_possible_time
from services.contracts.errors import InvalidRecord, MissingPart
from services.contracts.events import Position
from services.domain.arrays import FloatArray
from services.domain.geodesy import bearing, metres_between, offset
from services.formats.items import Located, Rejection
from services.formats.readers.records import rejection
from services.formats.xml_files import parse_xml

_MAX_BYTES = 256 * 1024 * 1024
_BEYOND_S = 2.0
"""How far beyond its ends a track still determines a position."""
_HEADING_M = 5.0
"""Length of the way whose direction is the heading, and half of it at a track's ends: a receiver's
noise would turn that of a shorter one."""
_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""Byte order marks and blanks, also those of UTF-16."""
_Point = tuple[datetime, float, float]
_PointText = tuple[str, str, str]
"""Time, latitude and longitude as a file has them."""


@dataclass(frozen=True)
class Track:
    """Positions by time, with straight lines between them.

    Attributes
    ----------
    seconds : float64 (n,), since 1970 in UTC, ascending
    lats, lons : float64 (n,), WGS 84 degrees
    metres : float64 (n,), the way from the first position
    rejected : positions that cannot be true
    """

    seconds: FloatArray
    lats: FloatArray
    lons: FloatArray
    metres: FloatArray
    rejected: Sequence[Rejection] = ()

    @classmethod
    def of(cls, points: list[_Point]) -> Self:
        """The track through these points, in any order; of several at one time the first counts."""
        first = {moment.timestamp(): (lat, lon) for moment, lat, lon in reversed(points)}
        seconds = np.array(sorted(first))
        lats, lons = np.array([first[moment] for moment in seconds]).T
        places = [*zip(lats.tolist(), lons.tolist(), strict=True)]
        ways = [metres_between(*one, *other) for one, other in pairwise(places)]
        metres = np.cumsum([0.0, *ways])
        return cls(seconds, lats, np.unwrap(lons, period=360), metres)

    @property
    def _span(self) -> tuple[float, float]:
        """The times at which it begins and ends."""
        return float(self.seconds[0]), float(self.seconds[-1])

    def covers(self, second: float) -> bool:
        """Whether the track covers this time."""
        return self.overlaps(second, second)

    def overlaps(self, first: float, last: float) -> bool:
        """Whether the track covers a time between these two."""
        starts, ends = self._span
        return starts - _BEYOND_S <= last and first <= ends + _BEYOND_S

    def uncovered(self, first: float, last: float) -> list[tuple[float, float]]:
        """The times between these two before the track begins and after it ends.

        Those short enough that the track still determines a position are left out.
        """
        starts, ends = self._span
        spans = [(first, min(starts, last)), (max(ends, first), last)]
        return [(begin, end) for begin, end in spans if end - begin > _BEYOND_S]

    def metres_at(self, second: float) -> float:
        """The way from the first position, in metres; beyond the track's ends, that of the end."""
        return float(np.interp(second, self.seconds, self.metres))

    def measured_at(self, second: float) -> float | None:
        """The way from the first position, in metres; None beyond the track's ends."""
        starts, ends = self._span
        return self.metres_at(second) if starts <= second <= ends else None

    def position_at(self, second: float) -> Position | None:
        """Position and heading; None beyond the track's ends."""
        if not self.covers(second):
            return None
        lat = float(np.interp(second, self.seconds, self.lats))
        lon = float(np.interp(second, self.seconds, self.lons))
        heading = self._heading(self.metres_at(second))
        return Position(lat=lat, lon=(lon + 180) % 360 - 180, heading=heading)

    def _heading(self, metres: float) -> float | None:
        """The direction of the way around here; None for a vehicle that has not moved."""
        around = np.clip([metres - _HEADING_M / 2, metres + _HEADING_M / 2], 0, self.metres[-1])
        if around[1] - around[0] < _HEADING_M / 2:
            return None
        (lat, to_lat), (lon, to_lon) = (
            np.interp(around, self.metres, degrees) for degrees in (self.lats, self.lons)
        )
        return bearing(*offset(lat, lon, to_lat, to_lon))


def read_track(path: Path) -> Track:
    """The track in a GPX file, or in a file of NMEA 0183 sentences.

    Raises
    ------
    InvalidRecord
        `invalid_track`: the file is neither, or names fewer than two times with their positions.
    MissingPart
        The packages that read tracks are not installed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise _invalid(path, exc.strerror or "unreadable") from exc
    if len(content) > _MAX_BYTES:
        raise _invalid(path, f"more than {_MAX_BYTES} bytes")
    is_xml = content.lstrip(_BEFORE_XML).startswith(b"<")
    found = [*_gpx(path, content)] if is_xml else [*_nmea(path, content)]
    rejected: list[Rejection] = []
    points = [*_possible(found, rejected)]
    if len({moment for moment, _, _ in points}) < 2:  # noqa: PLR2004  # a line has two ends
        refused = f"; {len(rejected)} were refused, as {rejected[0].detail}" if rejected else ""
        raise _invalid(path, f"it has fewer than two positions with a time{refused}")
    return replace(Track.of(points), rejected=rejected)


def _invalid(path: Path, detail: str) -> InvalidRecord:
    return InvalidRecord(f"{path}: {detail}", reason="invalid_track")


def _possible(found: Iterable[Located[_PointText]], rejected: list[Rejection]) -> Iterator[_Point]:
    """The points that can be true; the others are added to `rejected`."""
    for source in found:
        try:
            yield _point(source.value)
        except (ValueError, TypeError) as exc:
            error = InvalidRecord(str(exc), reason="invalid_position")
            rejected.append(rejection(error, Located(source.value, source.location)))


def _point(text: _PointText) -> _Point:
    """A point as it was written.

    Raises
    ------
    ValueError, TypeError
        It is no time and place on Earth; 0, 0 is what a receiver without a fix writes.
    """
    time, lat, lon = text
    moment = datetime.fromisoformat(time)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    degrees = float(lat), float(lon)
    if not is_possible_time(moment):
        raise ValueError(f"{time!r:.40} is no time at which a vehicle was anywhere")
    if not (abs(degrees[0]) <= 90 and abs(degrees[1]) <= 180) or not any(degrees):  # noqa: PLR2004
        raise ValueError(f"{lat!r:.40}, {lon!r:.40} is no place on Earth")
    return moment, *degrees


def _gpx(path: Path, content: bytes) -> Iterator[Located[_PointText]]:
    """The points of tracks that have a time."""
    try:
        root = parse_xml(content)
    except InvalidRecord as exc:
        raise _invalid(path, f"not GPX: {exc}") from exc
    for number, point in enumerate(root.iterfind(".//{*}trkpt"), start=1):
        time = (point.findtext("{*}time") or "").strip()
        if time:
            text = (time, point.get("lat", ""), point.get("lon", ""))
            yield Located(text, f"{path}: point {number}")


def _nmea(path: Path, content: bytes) -> Iterator[Located[_PointText]]:
    """The positions of RMC sentences, which alone name the day; broken sentences are passed over.

    A receiver's file often begins and ends within a sentence, and each has a checksum.
    """
    nmea = part_of_video("pynmea2")
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), start=1):
        try:
            sentence = nmea.parse(line.strip(), check=True)
        except nmea.ParseError:
            continue
        if sentence.sentence_type == "RMC" and sentence.status == "A" and sentence.datestamp:
            yield Located(_text_of(sentence), f"{path}:{number}")


def _text_of(sentence: Any) -> _PointText:
    """A sentence's time and position; as it writes them where they cannot be read."""
    try:
        moment = datetime.combine(sentence.datestamp, sentence.timestamp)
        return moment.isoformat(), str(sentence.latitude), str(sentence.longitude)
    except (ValueError, TypeError):
        return str(sentence.timestamp), sentence.lat, sentence.lon


def part_of_video(name: str) -> ModuleType:
    """A package that only videos need.

    Raises
    ------
    MissingPart
        It is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        raise MissingPart(f"videos need {name}: pip install 'gazeloop[video]'") from exc
