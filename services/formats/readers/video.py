"""A drive's video: frames at equal distances or times, with their positions from a track."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from PIL import Image

from services.contracts.bounds import is_possible_time
from services.contracts.errors import InvalidRecord
from services.contracts.identity import DriveId, VehicleId
from services.formats import fields
from services.formats.items import (
    UNKNOWN_TIME,
    Dataset,
    FrameItem,
    Item,
    Located,
    RecordKind,
    Rejection,
)
from services.formats.readers.records import rejection
from services.formats.readers.standstill import Standstill
from services.formats.readers.track import Track, part_of_video

_SPACING = re.compile(r"(\d+(?:\.\d+)?)(m|s)")
_QUALITY = 95
_ROUNDING = 1e-6
"""Of a step: seconds since 1970 have seven digits after the point."""
_CUT_OFF_S = 2.0
"""By how much the pictures may end before the video: its sound may be longer."""
_REPAIR = "copy the file again, or repair it with ffmpeg"
# Without decoding (`-c copy`), ffmpeg 9 writes the packets in the wrong order, or none.
_CONVERT = (
    "convert the video at the rate at which it was recorded, such as"
    " `ffmpeg -framerate 25 -i drive.h264 drive.mp4`"
)


@dataclass(frozen=True)
class Spacing:
    """The distance of frames, written `10m` or `0.5s`."""

    step: float
    by_metres: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """The spacing that a text names.

        Raises
        ------
        InvalidRecord
            It names none, or 0.
        """
        found = _SPACING.fullmatch(text)
        if found is None or float(found[1]) == 0:
            raise InvalidRecord(f"{text!r} is no spacing such as 10m or 0.5s", reason="malformed")
        return cls(float(found[1]), found[2] == "m")


class _Shot(NamedTuple):
    """A chosen picture, and its time in the video in seconds."""

    second: float
    picture: Image.Image


@dataclass(frozen=True)
class Drive:
    """A video with what is known of its drive.

    Attributes
    ----------
    begin : when it begins; None if unknown, which only a video without a track may have
    seconds : its length; 0 if the file has none
    """

    video: Path
    spacing: Spacing
    begin: datetime | None
    seconds: float
    track: Track | None

    def at(self, second: float) -> float:
        """The time in the video as seconds since 1970."""
        return second + (self.begin.timestamp() if self.begin else 0.0)

    def way(self, second: float) -> float:
        """What frames are spaced by, at this time in the video: metres or seconds."""
        if self.spacing.by_metres:
            assert self.track is not None
            return self.track.metres_at(self.at(second))
        return second

    def is_spaced(self, second: float) -> bool:
        """Whether it is known what frames are spaced by at this time in the video."""
        if self.track is None or not self.spacing.by_metres:
            return True
        return self.track.covers(self.at(second))

    @property
    def most(self) -> int | None:
        """The greatest number of frames that it gives; None if its length is unknown."""
        if not self.seconds:
            return None
        way = self.way(self.seconds) - self.way(0.0)
        # The last picture is shown until the video ends, so none begins there.
        return max(1, math.ceil(way / self.spacing.step - _ROUNDING))


def open_drive(
    video: Path, spacing: Spacing, *, track: Track | None, begin: datetime | None
) -> Drive:
    """Read the video's header, and bring it together with its track.

    Parameters
    ----------
    begin : when the video begins; default: the file's creation time

    Raises
    ------
    InvalidRecord
        `invalid_video`: it cannot be read. `unknown_time`: a track does not help without the time
        at which the video begins. `invalid_track`: the track is of another time, or there is none
        and frames are to have equal distances.
    MissingPart
        PyAV is not installed.
    """
    if spacing.by_metres and track is None:
        detail = (
            "frames at equal distances need a track (--gpx); without one, give --every in seconds"
        )
        raise InvalidRecord(detail, reason="invalid_track")
    with _opened(video) as container:
        begin = begin or _creation_time(container.metadata.get("creation_time", ""))
        seconds = (container.duration or 0) / 1e6
    drive = Drive(video, spacing, begin, seconds, track)
    if track is not None and begin is None:
        starts = datetime.fromtimestamp(track.seconds[0], UTC).isoformat()
        detail = f"{video} does not say when it begins; if it does with its track: --start {starts}"
        raise InvalidRecord(detail, reason="unknown_time")
    if track is not None and not track.overlaps(drive.at(0.0), drive.at(seconds)):
        first, last = (datetime.fromtimestamp(at, UTC) for at in track.seconds[[0, -1]])
        raise InvalidRecord(
            f"the video begins at {begin:%Y-%m-%d %H:%M:%S} UTC, and the track lasts from"
            f" {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}: correct it with --start",
            reason="invalid_track",
        )
    return drive


def read_video(
    drive: Drive, pictures: Path, *, dataset: str | None = None, vehicle: str | None = None
) -> Dataset:
    """The frames of a video, which are decoded as they are read.

    A frame is named by its time in the video in milliseconds, so that a repetition, or a closer
    spacing later, brings the same frames again.

    Parameters
    ----------
    pictures : a folder for the chosen pictures, as JPEG
    dataset : prefix of every frame id; default: the video's name. It also names the drive
    vehicle : default: the data set's name
    """
    name = dataset or drive.video.stem
    return Dataset(name, drive.most, _items(drive, pictures, name, vehicle or name))


def _items(drive: Drive, pictures: Path, name: str, vehicle: str) -> Iterator[Item]:
    if drive.track is not None:
        yield from drive.track.rejected
    decoding = _Decoding(drive.video)
    for shot in _shots(drive, decoding):
        milliseconds = round(shot.second * 1000)
        image = pictures / f"{milliseconds:012d}.jpg"
        shot.picture.save(image, quality=_QUALITY, subsampling=0)
        at = drive.at(shot.second)
        yield FrameItem(
            frame_id=fields.frame_id(name, milliseconds),
            vehicle_id=VehicleId(fields.quoted(vehicle)),
            drive_id=DriveId(fields.quoted(name)),
            location=f"{drive.video} at {shot.second:.3f} s",
            image=image,
            captured_at=UNKNOWN_TIME if drive.begin is None else datetime.fromtimestamp(at, UTC),
            position=None if drive.track is None else drive.track.position_at(at),
        )
    yield from decoding.rejections(drive.seconds)
    yield from _unplaced(drive, decoding.end)


def _unplaced(drive: Drive, end: float) -> Iterator[Rejection]:
    """The parts of a video, until `end`, in which a short track leaves distances unknown."""
    if drive.track is None or not drive.spacing.by_metres:
        return
    parts = [
        f"{first - drive.at(0.0):.1f} to {last - drive.at(0.0):.1f}"
        for first, last in drive.track.uncovered(drive.at(0.0), drive.at(end))
    ]
    if parts:
        detail = (
            f"the track has no positions at seconds {' and '.join(parts)} of the video, so no"
            " frames were chosen there: give a track of the whole drive, or --every in seconds"
        )
        error = InvalidRecord(detail, reason="incomplete_track")
        source = Located[object]({"video": drive.video.name}, f"{drive.video}")
        yield rejection(error, source, RecordKind.FRAME)


def _shots(drive: Drive, decoding: "_Decoding") -> Iterator[_Shot]:
    """The first picture of each step of the way, unless the vehicle stands still."""
    start = drive.way(0.0)
    due, standstill = 0, Standstill(drive.track)
    for second, frame in decoding:
        step = math.floor((drive.way(second) - start) / drive.spacing.step + _ROUNDING)
        if step < due or not drive.is_spaced(second):
            continue
        picture = frame.to_image().rotate(frame.rotation, expand=True)
        due = step + 1
        if not standstill.lasts(drive.at(second), picture):
            yield _Shot(second, picture)


class _Decoding:
    """One pass over a video's pictures, each with its seconds from the first one."""

    def __init__(self, video: Path) -> None:
        self._video = video
        self.end = 0.0
        """The time of the last picture so far."""
        self._broken = 0
        self._untimed = 0

    def __iter__(self) -> Iterator[tuple[float, Any]]:
        first = None
        for frame in self._frames():
            if frame.is_corrupt:
                self._broken += 1
            elif frame.time is None:
                self._untimed += 1
            else:
                first = frame.time if first is None else first
                self.end = frame.time - first
                yield self.end, frame

    def _frames(self) -> Iterator[Any]:
        """What can be decoded; a damaged part does not end the video."""
        errors = part_of_video("av").error
        with _opened(self._video) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except errors.InvalidDataError:
                    self._broken += 1

    def rejections(self, seconds: float) -> Iterator[Rejection]:
        """What of a video of this length has been lost, once the pass is done."""
        faults = []
        if self._broken:
            faults.append((f"{self._broken} pictures are damaged: {_REPAIR}", "damaged_video"))
        if self._untimed:
            faults.append((f"{self._untimed} pictures have no time: {_CONVERT}", "untimed_video"))
        if seconds - self.end > _CUT_OFF_S:
            ends = f"its pictures end at {self.end:.1f} s of {seconds:.1f} s"
            faults.append((f"{ends}: {_REPAIR}", "damaged_video"))
        for detail, reason in faults:
            error = InvalidRecord(detail, reason=reason)
            source = Located[object]({"video": self._video.name}, f"{self._video}")
            yield rejection(error, source, RecordKind.FRAME)


@contextmanager
def _opened(video: Path) -> Iterator[Any]:
    av = part_of_video("av")
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise InvalidRecord(f"{video} has no video stream", reason="invalid_video")
            yield container
    except (av.FFmpegError, OSError) as exc:
        raise InvalidRecord(f"{video}: {exc.strerror}", reason="invalid_video") from exc


def _creation_time(text: str) -> datetime | None:
    """The file's creation time; cameras without a clock write 1904 or 1970."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found if is_possible_time(found) and found > UNKNOWN_TIME else None
