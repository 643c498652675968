"""What an importer yields: frames with what is known of them, and records that it had to reject."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, Position
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.formats.adjustments import Adjustment

T_co = TypeVar("T_co", covariant=True)

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""When a frame was taken whose data set does not say it."""


class Detector(NamedTuple):
    """A detector and its version, which the command line writes as `NAME@VERSION`."""

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The detector that `NAME@VERSION` names.

        Raises
        ------
        InvalidRecord
            A part is missing or holds blanks.
        """
        name, _, version = text.partition("@")
        if not name or not version or "@" in version or text.split() != [text]:
            raise InvalidRecord(f"{text!r} is not NAME@VERSION", reason="invalid_detector")
        return cls(name, version)


@dataclass(frozen=True)
class Located(Generic[T_co]):
    """A value and where it was read: a file and a line, or a record's number or id."""

    value: T_co
    location: str


@dataclass(frozen=True)
class FrameItem:
    """One frame of a data set.

    Parameters
    ----------
    image : the image file; none where something is said of a frame that is known already
    size : width and height of the picture that the boxes were drawn on, where the data set
        declares them
    detections : what the detector found there; none where it did not look, and where all that it
        found was refused
    detections_size : the same as `size` for the detections, where their file declares its own
    detections_complete : whether no detection was refused that may stand for something; see
        `complete`
    annotations : its ground truth, maybe empty; none where nobody annotated
    complete : whether no annotation was refused that may hide an object. One without area, wholly
        outside the image or equal to one that was taken hides none
    annotated_by, lead_time_s : who annotated it, and how long that took, where a tool says it
    adjustments : what was repaired in it, and how often
    """

    frame_id: FrameId
    vehicle_id: VehicleId
    location: str
    image: Path | None
    drive_id: DriveId | None = None
    captured_at: datetime = UNKNOWN_TIME
    position: Position | None = None
    size: tuple[int, int] | None = None
    detector: Detector | None = None
    detections: tuple[Located[Detection], ...] | None = None
    detections_size: tuple[int, int] | None = None
    detections_complete: bool = True
    annotations: tuple[Located[Annotation], ...] | None = None
    complete: bool = True
    annotated_by: str | None = None
    lead_time_s: float | None = None
    adjustments: Counter[Adjustment] = field(default_factory=Counter, hash=False)


@dataclass(frozen=True)
class Disputed:
    """A frame on which annotators disagree: somebody must say who is right."""

    versions: tuple[FrameItem, ...]
    location: str


class RecordKind(StrEnum):
    """What a refused record would have been."""

    FRAME = "frames"
    DETECTION = "detections"
    ANNOTATION = "annotations"


@dataclass(frozen=True)
class Rejection:
    """A record that can never be used; it is counted, listed and dead-lettered.

    Parameters
    ----------
    reason : snake_case code
    location : the file with a line, or with the record's number or id
    raw : the record's own bytes, or its JSON
    whole_frame : whether a frame is refused, with all that was said of it
    kind : what the record would have been; none for a part that its record can do without
    """

    reason: str
    detail: str
    location: str
    raw: bytes
    whole_frame: bool = False
    kind: RecordKind | None = None


Item = FrameItem | Disputed | Rejection


@dataclass(frozen=True)
class Dataset:
    """A data set that has been opened: its name, how many frames it lists, and its items, once."""

    name: str
    frames: int
    items: Iterable[Item]
    left: set[FrameId] = field(default_factory=set)
    """Frames that were sent to a tool and have not been among the items so far."""
