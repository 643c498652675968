"""Frames of a drive's video, with the positions of its track."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from services.contracts.errors import InvalidRecord
from services.formats.items import UNKNOWN_TIME, FrameItem, RecordKind, Rejection
from services.formats.readers.track import Track, read_track
from services.formats.readers.video import Spacing, open_drive, read_video

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
RATE, SECONDS = 10, 6
METRE = 1 / 111_194.93
"""In degrees of latitude, on the sphere that distances are measured on."""


def track_of(metres: list[float], begin: datetime = BEGIN) -> list[tuple[datetime, float, float]]:
    """Northward from 52.5 N, a position each second."""
    return [
        (begin + timedelta(seconds=second), 52.5 + metre * METRE, 13.4)
        for second, metre in enumerate(metres)
    ]


def gpx(folder: Path, points: list[tuple[datetime, float, float]]) -> Path:
    path = folder / "track.gpx"
    written = "".join(
        f'<trkpt lat="{lat}" lon="{lon}"><time>{moment:%Y-%m-%dT%H:%M:%SZ}</time></trkpt>'
        for moment, lat, lon in points
    )
    path.write_text(
        f'<?xml version="1.0"?><gpx version="1.1" creator="t"><trk><trkseg>{written}</trkseg></trk>'
        "</gpx>"
    )
    return path


def written(path: Path, levels: list[int], codec: str = "mpeg4", form: str | None = None) -> Path:
    """A video with a plain picture of each of these grey levels."""
    with av.open(str(path), "w", format=form) as container:
        container.metadata["creation_time"] = BEGIN.isoformat()
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in levels:
            pixels = np.full((48, 64, 3), level, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds in which the picture grows brighter, but stands still in the last two."""
    levels = [40 + 4 * min(number, 40) for number in range(RATE * SECONDS)]
    return written(tmp_path_factory.mktemp("video") / "drive 12.mp4", levels)


def frames(
    video: Path, folder: Path, every: str, track: Path | None = None, begin: datetime | None = None
) -> list[FrameItem]:
    known = read_track(track) if track else None
    drive = open_drive(video, Spacing.parse(every), track=known, begin=begin)
    dataset = read_video(drive, folder)
    found = [item for item in dataset.items if isinstance(item, FrameItem)]
    assert dataset.frames is None or len(found) <= dataset.frames
    return found


def seconds(items: list[FrameItem]) -> list[float]:
    return [(item.captured_at - BEGIN).total_seconds() for item in items]


def test_frames_at_equal_times_without_those_that_stand_still(video: Path, tmp_path: Path) -> None:
    items = frames(video, tmp_path, "1s")

    assert seconds(items) == [0, 1, 2, 3, 4]
    assert [item.frame_id for item in items][:2] == [
        "drive%2012:000000000000",
        "drive%2012:000000001000",
    ]
    assert {item.drive_id for item in items} == {"drive%2012"}
    assert items[0].image is not None
    with Image.open(items[0].image) as picture:
        assert picture.size == (64, 48)


def test_frames_at_equal_distances_have_position_and_heading(video: Path, tmp_path: Path) -> None:
    # Ten metres a second, three seconds of stop, then ten again.
    track = gpx(tmp_path, track_of([0, 10, 20, 20, 20, 20, 30, 40]))

    items = frames(video, tmp_path, "5m", track)

    assert seconds(items) == [0, 0.5, 1, 1.5, 2, 5.5]
    for item, metres in zip(items, [0, 5, 10, 15, 20, 25], strict=True):
        assert item.position is not None
        assert item.position.lat == pytest.approx(52.5 + metres * METRE, abs=METRE / 100)
        assert item.position.lon == pytest.approx(13.4)
        assert item.position.heading == pytest.approx(0, abs=0.01)


def test_a_stop_is_left_out_of_frames_at_equal_times(video: Path, tmp_path: Path) -> None:
    track = gpx(tmp_path, track_of([0, 10, 20, 20, 20, 20, 30]))
    assert seconds(frames(video, tmp_path, "1s", track)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("lead", "track_seconds"), [(0, 3), (2, 4), (1, 3)], ids=["ends early", "starts late", "both"]
)
def test_beyond_a_tracks_ends_the_pictures_say_whether_the_vehicle_stands(
    lead: int, track_seconds: int, video: Path, tmp_path: Path
) -> None:
    begin = BEGIN + timedelta(seconds=lead)
    track = gpx(tmp_path, track_of([10.0 * second for second in range(track_seconds)], begin))

    items = frames(video, tmp_path, "1s", track)

    # The pictures change for four seconds, and the track moves for as long as it lasts.
    until = max(4, lead + track_seconds - 1)
    assert seconds(items) == [*range(until + 1)]


def test_a_standstill_at_a_tracks_end_is_left_out_like_any_other(tmp_path: Path) -> None:
    path = written(tmp_path / "parked.mp4", [40 + 4 * min(number, 10) for number in range(40)])
    track = gpx(tmp_path, track_of([0, 10, 10]))

    assert seconds(frames(path, tmp_path, "1s", track)) == [0, 1]


@pytest.mark.parametrize(
    ("lead", "track_seconds", "named"),
    [(0, 2, "seconds 1.0 to 5.9 of"), (3, 4, "seconds 0.0 to 3.0 of"), (-30, 60, "")],
    ids=["ends early", "starts late", "covers all"],
)
def test_where_a_track_leaves_distances_unknown_the_seconds_are_named(
    lead: int, track_seconds: int, named: str, video: Path, tmp_path: Path
) -> None:
    begin = BEGIN + timedelta(seconds=lead)
    track = gpx(tmp_path, track_of([10.0 * second for second in range(track_seconds)], begin))
    drive = open_drive(video, Spacing.parse("10m"), track=read_track(track), begin=None)

    items = list(read_video(drive, tmp_path).items)

    refused = [item for item in items if isinstance(item, Rejection)]
    chosen = [item for item in items if isinstance(item, FrameItem)]
    assert chosen
    assert all(item.position for item in chosen)
    assert [item.reason for item in refused] == ["incomplete_track"] * bool(named)
    assert all(named in item.detail and "--every" in item.detail for item in refused)


def test_a_track_of_the_middle_of_a_video_is_of_its_time(tmp_path: Path) -> None:
    path = written(tmp_path / "long.mp4", [40 + number % 100 for number in range(100)])
    track = gpx(tmp_path, track_of([0, 10, 20], BEGIN + timedelta(seconds=4)))
    drive = open_drive(path, Spacing.parse("10m"), track=read_track(track), begin=None)

    *items, refused = read_video(drive, tmp_path).items

    assert seconds([item for item in items if isinstance(item, FrameItem)])[1:] == [5, 6]
    assert isinstance(refused, Rejection)
    assert "seconds 0.0 to 4.0 and 6.0 to 9.9 of" in refused.detail


def test_a_repetition_gives_the_same_bytes(video: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (frames(video, tmp_path / name, "2s") for name in ("one", "two"))

    assert [item.frame_id for item in one] == [item.frame_id for item in two]
    assert [item.image.read_bytes() for item in one if item.image] == [
        item.image.read_bytes() for item in two if item.image
    ]


def test_a_video_that_does_not_say_when_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    track = gpx(tmp_path, track_of([0, 10]))

    (item,) = frames(path, tmp_path, "1s")
    assert item.captured_at == UNKNOWN_TIME
    with pytest.raises(InvalidRecord, match="--start") as refused:
        frames(path, tmp_path, "1s", track)
    assert refused.value.reason == "unknown_time"
    (item,) = frames(path, tmp_path, "1m", track, BEGIN)
    assert item.captured_at == BEGIN


def test_a_track_of_another_day_is_refused(video: Path, tmp_path: Path) -> None:
    track = gpx(tmp_path, track_of([0, 10], BEGIN + timedelta(days=1)))
    with pytest.raises(InvalidRecord, match="2026-05-05 10:00:00"):
        frames(video, tmp_path, "1s", track)


@pytest.mark.parametrize("text", ["", "10", "0m", "-1s", "10 m", "1e9m", "m"])
def test_what_is_no_spacing_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord, match="10m"):
        Spacing.parse(text)


def test_equal_distances_need_a_track(video: Path) -> None:
    with pytest.raises(InvalidRecord, match="need a track"):
        open_drive(video, Spacing.parse("10m"), track=None, begin=None)


@pytest.mark.parametrize("content", [b"", b"no video", b"\0" * 5000])
def test_what_is_no_video_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidRecord, match=r"a\.mp4") as refused:
        open_drive(path, Spacing.parse("1s"), track=None, begin=None)
    assert refused.value.reason == "invalid_video"


def nmea(body: str) -> str:
    checksum = 0
    for character in body.encode():
        checksum ^= character
    return f"${body}*{checksum:02X}"


def test_a_track_of_nmea_sentences(tmp_path: Path) -> None:
    path = tmp_path / "track.nmea"
    sentences = [
        "cut off*00",
        nmea("GPRMC,100000.00,A,5230.0000,N,01324.0000,E,19.4,0.0,040526,,,A"),
        nmea("GPGGA,100000.00,5230.0000,N,01324.0000,E,1,08,0.9,34.0,M,46.9,M,,"),
        nmea("GPRMC,100001.00,V,,,,,,,040526,,,N"),
        nmea("GNRMC,100002.00,A,5230.0100,N,01324.0000,E,19.4,0.0,040526,,,A"),
        "$GPRMC,100003.00,A,5230.9900,N,01324.0000,E,19.4,0.0,040526,,,A*00",
    ]
    path.write_text("\r\n".join(sentences))

    track = read_track(path)

    assert track.seconds.tolist() == [BEGIN.timestamp(), BEGIN.timestamp() + 2]
    assert track.metres[-1] == pytest.approx(0.01 / 60 / METRE, rel=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<gpx",
        "<gpx/>",
        "<kml/>",
        '<!DOCTYPE g [<!ENTITY a "b">]><gpx version="1.1" creator="t">&a;</gpx>',
        '<gpx version="1.1" creator="t"><trk><trkseg><trkpt lat="x" lon="1"/></trkseg></trk></gpx>',
        '<gpx version="1.1" creator="t"><trk><trkseg><trkpt lat="1" lon="1"/></trkseg></trk></gpx>',
    ],
    ids=["empty", "cut off", "no point", "KML", "entities", "no number", "no time"],
)
def test_what_is_no_track_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "track.gpx"
    path.write_text(content)
    with pytest.raises(InvalidRecord, match=r"track\.gpx") as refused:
        read_track(path)
    assert refused.value.reason == "invalid_track"


def test_impossible_positions_are_refused_one_by_one(video: Path, tmp_path: Path) -> None:
    points = [(moment, lat, lon) for moment, lat, lon in track_of([0, 10, 20, 30, 40, 50])]
    for at, lat in ((1, 95.0), (2, float("nan")), (3, float("inf"))):
        points[at] = (points[at][0], lat, 13.4)
    drive = open_drive(
        video, Spacing.parse("10m"), track=read_track(gpx(tmp_path, points)), begin=None
    )

    items = list(read_video(drive, tmp_path).items)

    refused = [item for item in items if isinstance(item, Rejection)]
    assert [item.reason for item in refused] == ["invalid_position"] * 3
    assert [item.location.rpartition(": ")[2] for item in refused] == [
        f"point {number}" for number in (2, 3, 4)
    ]
    assert len(items) - len(refused) == 6  # by straight lines across the gap


@pytest.mark.parametrize(
    "body",
    [
        "GPRMC,100001.00,A,9907.038,N,01131.000,E,22.4,84.4,040526,,,A",
        "GPRMC,100001.00,A,x,N,y,E,22.4,84.4,040526,,,A",
        "GPRMC,100001.00,A,,,,,22.4,84.4,040526,,,A",
        "GPRMC,100001.00,A,4807.038,N,01131.000,E,22.4,84.4,990526,,,A",
        "GPRMC,990001.00,A,4807.038,N,01131.000,E,22.4,84.4,040526,,,A",
    ],
    ids=["beyond the pole", "no numbers", "empty", "no day", "no hour"],
)
def test_an_impossible_sentence_is_refused_and_the_others_are_read(
    body: str, tmp_path: Path
) -> None:
    path = tmp_path / "track.nmea"
    good = [f"GPRMC,10000{s}.00,A,5230.000{s},N,01324.0000,E,9,0,040526,,,A" for s in (0, 2)]
    path.write_text("\n".join(map(nmea, [good[0], body, good[1]])))

    track = read_track(path)

    assert len(track.seconds) == 2
    assert [item.location for item in track.rejected] == [f"{path}:2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_a_track_may_have_any_encoding_that_it_declares(encoding: str, tmp_path: Path) -> None:
    path = gpx(tmp_path, track_of([0, 10]))
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = path.read_text().replace('"1.0"?>', f'"1.0" encoding="{declared}"?>', 1)
    path.write_bytes(text.replace('creator="t"', 'creator="Gerät"').encode(encoding))

    assert len(read_track(path).seconds) == 2


def test_a_video_that_is_cut_off_is_named_and_its_frames_are_published(tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(RATE * SECONDS):
            pixels = noise.integers(0, 255, (48, 64, 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    drive = open_drive(path, Spacing.parse("0.5s"), track=None, begin=BEGIN)

    *frames, refused = read_video(drive, tmp_path).items

    assert 3 <= len(frames) < 8
    assert isinstance(refused, Rejection)
    assert refused.reason == "damaged_video"
    assert "s of 6.0 s" in refused.detail


def test_a_damaged_part_of_a_video_does_not_end_it(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        places = [(packet.pos or 0, packet.size) for packet in container.demux() if packet.size]
    for place, size in places[20:22]:
        content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    drive = open_drive(path, Spacing.parse("0.1s"), track=None, begin=None)

    *frames, refused = read_video(drive, tmp_path).items

    assert isinstance(refused, Rejection)
    assert "pictures are damaged" in refused.detail
    last = frames[-1]
    assert isinstance(last, FrameItem)
    assert last.captured_at > BEGIN + timedelta(seconds=3)


def test_a_stream_without_times_is_refused_with_what_gives_it_them(tmp_path: Path) -> None:
    path = written(tmp_path / "bare.h264", [40 + number for number in range(40)], "libx264")
    drive = open_drive(path, Spacing.parse("1s"), track=None, begin=BEGIN)

    (refused,) = read_video(drive, tmp_path).items

    assert isinstance(refused, Rejection)
    assert (refused.reason, refused.kind) == ("untimed_video", RecordKind.FRAME)
    assert "40 pictures have no time" in refused.detail
    assert "ffmpeg -framerate" in refused.detail


def test_a_stream_without_a_length_may_have_any_number_of_frames(tmp_path: Path) -> None:
    levels = [40 + 4 * number for number in range(40)]
    path = written(tmp_path / "bare.m4v", levels, form="m4v")
    drive = open_drive(path, Spacing.parse("1s"), track=None, begin=BEGIN)

    dataset = read_video(drive, tmp_path)

    assert dataset.frames is None
    assert len([*dataset.items]) > 1


def test_a_track_crosses_the_date_line() -> None:
    points = [(BEGIN, 0.0, 179.9999), (BEGIN + timedelta(seconds=1), 0.0, -179.9999)]
    track = Track.of(points)
    position = track.position_at(BEGIN.timestamp() + 0.75)

    assert position is not None
    assert position.lon == pytest.approx(-179.99995)
    assert position.heading == pytest.approx(90)
    assert track.metres[-1] == pytest.approx(22.2, abs=0.1)
    assert track.position_at(BEGIN.timestamp() + 60) is None
