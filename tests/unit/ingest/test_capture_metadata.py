"""Time, position and camera that an image file itself names."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.events import FrameCaptured, Position
from services.contracts.identity import FrameId, VehicleId
from services.formats.capture_metadata import CaptureMetadata, capture_metadata
from services.formats.frames import OpenedFrame, open_frame
from services.formats.items import UNKNOWN_TIME, FrameItem
from services.runtime.image_container import MediaType
from services.runtime.images import ImageFacts, ImageLimits, measure
from tests.unit.ingest.pictures import BERLIN, GPS, PHOTO, picture

LIMITS = ImageLimits(1 << 20, 1 << 20)
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" tiff:Make="GoPro" tiff:Model="Max"
 exif:GPSLatitude="52,30.984N" exif:GPSLongitude="13,22,39.36W" GPano:PoseHeadingDegrees="92.5">
 <exif:DateTimeOriginal>2026-05-04T12:00:00.25+02:00</exif:DateTimeOriginal>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def found(content: bytes) -> CaptureMetadata:
    return capture_metadata(measure(content, LIMITS))


def at(position: Position | None) -> tuple[Any, Any, float | None]:
    assert position is not None
    return pytest.approx(position.lat), pytest.approx(position.lon), position.heading


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_names_time_position_heading_and_camera(kind: str) -> None:
    photo = {0x9003: "2026:05:04 12:00:00", 0x9011: "+02:00", 0x9291: "25"}
    gps = {**BERLIN, 16: "T", 17: 452.0, 29: "2026:05:04", 7: (9.0, 59.0, 58.0)}
    exif = {0x010F: "Acme", 0x0110: "Dash 4", PHOTO: photo, GPS: gps}

    metadata = found(picture(exif, kind=kind))

    assert metadata.captured_at == datetime(2026, 5, 4, 10, 0, 0, 250_000, UTC)
    assert at(metadata.position) == (52.5164, 13.3776, 92.0)
    assert metadata.camera == "Acme Dash 4"


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        ({PHOTO: {0x9003: "2026:05:04 12:00:00"}}, datetime(2026, 5, 4, 12, tzinfo=UTC)),
        (
            {
                PHOTO: {0x9003: "2026:05:04 12:00:00"},
                GPS: {29: "2026:05:04", 7: (10.0, 0.0, 1.5)},
            },
            datetime(2026, 5, 4, 10, 0, 1, 500_000, UTC),
        ),
        ({PHOTO: {0x9003: "0000:00:00 00:00:00"}}, None),
        ({PHOTO: {0x9003: "1815:05:04 12:00:00"}}, None),
        ({}, None),
    ],
    ids=["local as UTC", "GPS before local", "zeros", "implausible", "absent"],
)
def test_time_is_gps_time_where_exif_names_no_offset(
    exif: dict[int, Any], expected: datetime | None
) -> None:
    assert found(picture(exif)).captured_at == expected


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (13.0, 0.0, 0.0)},
        {1: "?", 2: (52.0, 0.0, 0.0), 3: "E", 4: (13.0, 0.0, 0.0)},
        {2: (52.0, 0.0, 0.0), 4: (13.0, 0.0, 0.0)},
        {1: "N", 2: (52.0, 0.0, 0.0)},
        {1: "N", 2: 52.0, 3: "E", 4: (13.0, 0.0, 0.0)},
    ],
    ids=["no fix", "beyond the pole", "no hemisphere", "none", "half", "one number"],
)
def test_a_position_that_cannot_be_true_counts_as_absent(gps: dict[int, Any]) -> None:
    assert found(picture({GPS: gps})).position is None


def test_a_compass_heading_is_not_one_from_true_north() -> None:
    assert at(found(picture({GPS: {**BERLIN, 16: "M", 17: 92.0}})).position)[2] is None


def test_mapillarys_description_counts_where_exif_says_nothing() -> None:
    description = {
        "MAPLatitude": 52.5164,
        "MAPLongitude": 13.3776,
        "MAPCaptureTime": "2026_05_04_10_00_00_250",
        "MAPCompassHeading": {"TrueHeading": 92.0, "MagneticHeading": 88.0},
    }

    metadata = found(picture({0x010E: json.dumps(description), 0x0110: "Phone"}))

    assert metadata.captured_at == datetime(2026, 5, 4, 10, 0, 0, 250_000, UTC)
    assert at(metadata.position) == (52.5164, 13.3776, 92.0)
    assert metadata.camera == "Phone"


def test_xmp_counts_where_exif_says_nothing() -> None:
    metadata = found(picture(xmp=XMP))

    assert metadata.captured_at == datetime(2026, 5, 4, 10, 0, 0, 250_000, UTC)
    assert at(metadata.position) == (52.5164, -13.3776, 92.5)
    assert metadata.camera == "GoPro Max"


@pytest.mark.parametrize(
    "xmp",
    [
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<a",
        XMP.replace("30.984N", "N").replace("2026-05-04T", "then"),
        "<a>" * 9000,
    ],
    ids=["entities", "cut short", "no numbers", "deep"],
)
def test_unreadable_xmp_counts_as_absent(xmp: str) -> None:
    assert found(picture(xmp=xmp)).position is None


@given(exif=st.binary(max_size=300), xmp=st.binary(max_size=100), head=st.booleans())
def test_no_bytes_stop_reading(exif: bytes, xmp: bytes, head: bool) -> None:
    kind: MediaType = "image/jpeg"
    begun = b"II*\0\x08\0\0\0" if head else b""

    capture_metadata(ImageFacts(kind, 1, 1, 1, begun + exif, xmp))


@given(at=st.integers(8, 400), value=st.integers(0, 255))
def test_a_changed_byte_does_not_stop_reading(at: int, value: int) -> None:
    content = picture({0x010F: "Acme", PHOTO: {0x9003: "2026:05:04 12:00:00"}, GPS: BERLIN})
    exif = bytearray(measure(content, LIMITS).exif)
    exif[at % len(exif)] = value

    capture_metadata(ImageFacts("image/jpeg", 1, 1, 1, bytes(exif)))


def test_description_of_deep_json_counts_as_absent() -> None:
    assert found(picture({0x010E: "[" * 20_000})) == CaptureMetadata()


def captured(folder: Path, **given_facts: Any) -> FrameCaptured:
    image = folder / "a.jpg"
    image.write_bytes(picture({PHOTO: {0x9003: "2026:05:04 12:00:00"}, GPS: BERLIN}))
    item = FrameItem(FrameId("a"), VehicleId("v"), "a.jpg", image, **given_facts)
    opened = open_frame(item, LIMITS, "import")
    assert isinstance(opened, OpenedFrame)
    (draft,) = opened.drafts
    assert isinstance(draft, FrameCaptured)
    return draft


def test_a_data_set_without_time_and_position_takes_the_images(tmp_path: Path) -> None:
    draft = captured(tmp_path)

    assert draft.captured_at == datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert at(draft.position) == (52.5164, 13.3776, None)


def test_what_a_data_set_says_takes_precedence(tmp_path: Path) -> None:
    moment, place = datetime(2026, 1, 1, tzinfo=UTC), Position(lat=1, lon=2)

    draft = captured(tmp_path, captured_at=moment, position=place)

    assert (draft.captured_at, draft.position) == (moment, place)


def test_an_image_that_says_nothing_leaves_the_time_unknown(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(picture())
    opened = open_frame(FrameItem(FrameId("a"), VehicleId("v"), "a", image), LIMITS, "import")
    assert isinstance(opened, OpenedFrame)
    (draft,) = opened.drafts

    assert isinstance(draft, FrameCaptured)
    assert (draft.captured_at, draft.position, draft.camera) == (UNKNOWN_TIME, None, None)
