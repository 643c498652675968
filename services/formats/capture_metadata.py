"""Capture metadata of an image file: time, position, heading and camera.

Read from EXIF, from the JSON that Mapillary's tools write into EXIF's description, and from XMP, in
this order. All of it is optional, and cameras write zeros where they know nothing, so a value that
cannot be read or cannot be true counts as absent.
"""

import json
import math
import struct
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import ExifTags, Image
from pydantic import ValidationError

from services.contracts.bounds import is_possible_time
from services.contracts.events import Position
from services.contracts.visible_text import escaped
from services.runtime.images import ImageFacts

_MAX_CAMERA = 100
_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, RecursionError)
"""What reading one value of a damaged or unusual file raises."""
_DAMAGED = (*_UNREADABLE, OSError, struct.error, UserWarning)
"""What Pillow raises, or warns of, in a damaged directory."""
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
_NAMESPACES = {
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.google.com/photos/1.0/panorama/": "GPano",
}


@dataclass(frozen=True)
class CaptureMetadata:
    """The metadata of a file; None where a value is missing.

    Attributes
    ----------
    captured_at : in UTC. EXIF's local time counts as UTC where no offset and no GPS time is given
    position : heading only from true north, because the declination of a compass is not known
    camera : maker and model
    """

    captured_at: datetime | None = None
    position: Position | None = None
    camera: str | None = None

    def or_else(self, other: "CaptureMetadata") -> "CaptureMetadata":
        """The values of both; the first has precedence."""
        return CaptureMetadata(
            self.captured_at or other.captured_at,
            self.position or other.position,
            self.camera or other.camera,
        )


def capture_metadata(facts: ImageFacts) -> CaptureMetadata:
    """Read a file's capture metadata."""
    exif = _loaded(facts.exif)
    found = CaptureMetadata(_exif_time(exif), _exif_position(exif), _exif_camera(exif))
    return found.or_else(_mapillary(exif)).or_else(_xmp(facts.xmp))


@dataclass(frozen=True)
class _Exif:
    """The three directories of EXIF, each by tag number."""

    image: Mapping[int, Any]
    photo: Mapping[int, Any]
    gps: Mapping[int, Any]


def _loaded(content: bytes) -> _Exif:
    exif = Image.Exif()
    directories: list[Mapping[int, Any]] = [{}, {}, {}]
    with suppress(*_DAMAGED):
        exif.load(b"Exif\0\0" + content if content else b"")
        directories[0] = dict(exif)
        directories[1] = exif.get_ifd(ExifTags.IFD.Exif)
        directories[2] = exif.get_ifd(ExifTags.IFD.GPSInfo)
    return _Exif(*directories)


def _read(value: Callable[[], Any]) -> Any:
    """The value; None if it is absent or cannot be read."""
    with suppress(*_UNREADABLE):
        return value()
    return None


def _possible(moment: datetime | None) -> datetime | None:
    """The moment in UTC; None if it is no plausible capture time."""
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC) if is_possible_time(moment) else None


def _text(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 \t\r\n")


def _exif_time(exif: _Exif) -> datetime | None:
    """EXIF's own time if it names its offset, else GPS time, else EXIF's own as UTC."""
    moment = _possible(_read(lambda: _original(exif.photo)))
    if moment is not None and _text(exif.photo.get(ExifTags.Base.OffsetTimeOriginal)):
        return moment
    return _possible(_read(lambda: _gps_time(exif.gps))) or moment


def _original(photo: Mapping[int, Any]) -> datetime:
    day = _text(photo[ExifTags.Base.DateTimeOriginal])
    fraction = _text(photo.get(ExifTags.Base.SubsecTimeOriginal))
    offset = _text(photo.get(ExifTags.Base.OffsetTimeOriginal))
    moment = datetime.strptime(day + (offset or "+00:00"), "%Y:%m:%d %H:%M:%S%z")
    return moment + timedelta(seconds=float(f"0.{fraction}") if fraction.isdecimal() else 0)


def _gps_time(gps: Mapping[int, Any]) -> datetime:
    day = datetime.strptime(_text(gps[ExifTags.GPS.GPSDateStamp]), "%Y:%m:%d").replace(tzinfo=UTC)
    hours, minutes, seconds = (float(part) for part in gps[ExifTags.GPS.GPSTimeStamp])
    return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _exif_position(exif: _Exif) -> Position | None:
    gps = exif.gps
    if not gps:
        return None
    heading = None
    if _text(gps.get(ExifTags.GPS.GPSImgDirectionRef, "T")) == "T":
        heading = _read(lambda: float(gps[ExifTags.GPS.GPSImgDirection]))
    return _position(
        _read(lambda: _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef)),
        _read(lambda: _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef)),
        heading,
    )


def _degrees(gps: Mapping[int, Any], tag: int, reference: int) -> float:
    degrees, minutes, seconds = (float(part) for part in gps[tag])
    return _signed(degrees + minutes / 60 + seconds / 3600, _text(gps[reference]))


def _signed(degrees: float, hemisphere: str) -> float:
    return {"N": degrees, "E": degrees, "S": -degrees, "W": -degrees}[hemisphere.upper()]


def _position(lat: float | None, lon: float | None, heading: float | None) -> Position | None:
    """The position; None for 0, 0, which a receiver without a fix writes."""
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None
    turned = heading % 360 if heading is not None and math.isfinite(heading) else None
    with suppress(ValidationError):
        return Position(lat=lat, lon=lon, heading=turned)
    return None


def _camera(maker: object, model: object) -> str | None:
    made_by, name = _text(maker), _text(model)
    both = name if name.startswith(made_by) else f"{made_by} {name}"
    return escaped(both.strip())[:_MAX_CAMERA] or None


def _exif_camera(exif: _Exif) -> str | None:
    return _camera(exif.image.get(ExifTags.Base.Make), exif.image.get(ExifTags.Base.Model))


def _mapillary(exif: _Exif) -> CaptureMetadata:
    """What Mapillary's tools write as JSON into ImageDescription."""
    description = _read(lambda: json.loads(_text(exif.image[ExifTags.Base.ImageDescription])))
    if not isinstance(description, dict):
        return CaptureMetadata()
    moment = _read(
        lambda: datetime.strptime(
            description["MAPCaptureTime"] + "000+0000", "%Y_%m_%d_%H_%M_%S_%f%z"
        )
    )
    position = _position(
        _read(lambda: float(description["MAPLatitude"])),
        _read(lambda: float(description["MAPLongitude"])),
        _read(lambda: float(description["MAPCompassHeading"]["TrueHeading"])),
    )
    camera = _camera(description.get("MAPDeviceMake"), description.get("MAPDeviceModel"))
    return CaptureMetadata(_possible(moment), position, camera)


def _xmp(content: bytes) -> CaptureMetadata:
    """The XMP metadata, by its EXIF and TIFF names and Google's for panoramas."""
    properties = _xmp_properties(content)
    moment = properties.get("exif:DateTimeOriginal") or properties.get("photoshop:DateCreated")
    heading = properties.get("GPano:PoseHeadingDegrees")
    if properties.get("exif:GPSImgDirectionRef", "T") == "T":
        heading = properties.get("exif:GPSImgDirection", heading)
    position = _position(
        _read(lambda: _xmp_degrees(properties["exif:GPSLatitude"])),
        _read(lambda: _xmp_degrees(properties["exif:GPSLongitude"])),
        _read(lambda: _ratio(heading or "")),
    )
    return CaptureMetadata(
        _possible(_read(lambda: datetime.fromisoformat(moment or ""))),
        position,
        _camera(properties.get("tiff:Make"), properties.get("tiff:Model")),
    )


def _xmp_properties(content: bytes) -> dict[str, str]:
    """Simple properties by their usual prefix, whether attributes or elements."""
    try:
        root = fromstring(content) if content else None
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        root = None
    found: dict[str, str] = {}
    for element in () if root is None else root.iter():
        for name, value in ((element.tag, element.text), *element.attrib.items()):
            address, _, local = str(name).removeprefix("{").partition("}")
            if address in _NAMESPACES and value and value.strip():
                found.setdefault(f"{_NAMESPACES[address]}:{local}", value.strip())
    return found


def _xmp_degrees(text: str) -> float:
    """XMP's `52,30,59N` or `52,30.98N`, in degrees."""
    parts = [float(part) for part in text[:-1].split(",")]
    return _signed(sum(part / 60**power for power, part in enumerate(parts)), text[-1:])


def _ratio(text: str) -> float:
    """XMP's `92/1` or `92.0`."""
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)
