"""The items that a reader yields: frames with their boxes, and rejected records."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, NamedTuple, Self, TypeVar

from services.contracts.bounds import FIRST_TIME
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, FrameVector, IouType, Position
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.formats.adjustments import Adjustment
from services.ground_truth.category_changes import CategoryChange

T_co = TypeVar("T_co", covariant=True)

UNKNOWN_TIME: Final = FIRST_TIME
"""Capture time of frames whose data set has none."""


class Detector(NamedTuple):
    """A detector and its version, written `NAME@VERSION` on the command line.

    Attributes
    ----------
    iou_type : what its detections are matched by
    """

    name: str
    version: str
    iou_type: IouType = "bbox"

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
    """A value and its location: a file with a line, or with a record's number or id."""

    value: T_co
    location: str


@dataclass(frozen=True)
class FrameItem:
    """One frame of a data set.

    Parameters
    ----------
    image : the image file; None if the item describes a frame that is already known
    tags : what the frame is sorted by, such as weather
    vector : the whole image's, where a model outside of Gazeloop has computed one
    size : width and height of the image that the boxes were drawn on, if the data set declares it
    detections : the detector's output; None if it did not run on this frame, or if all its
        detections were refused
    detections_size : `size` for the detections, if their file declares its own
    detections_complete : whether no refused detection could be a real one; see `complete`
    annotations : the ground truth, possibly empty; None if nobody annotated the frame
    complete : whether no refused annotation can hide an object. An annotation without area, wholly
        outside the image or equal to an accepted one hides none
    annotated_by, lead_time_s : the annotator and the seconds spent, if the tool records them
    adjustments : repairs, with their counts
    """

    frame_id: FrameId
    vehicle_id: VehicleId
    location: str
    image: Path | None
    drive_id: DriveId | None = None
    captured_at: datetime = UNKNOWN_TIME
    position: Position | None = None
    tags: Mapping[str, str] | None = None
    vector: FrameVector | None = None
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
    """A frame on which annotators disagree; a person must choose a version."""

    versions: tuple[FrameItem, ...]
    location: str


class RecordKind(StrEnum):
    """What a refused record would have been."""

    FRAME = "frames"
    DETECTION = "detections"
    ANNOTATION = "annotations"


@dataclass(frozen=True)
class Rejection:
    """An unusable record; it is counted, listed and dead-lettered.

    Parameters
    ----------
    reason : snake_case code
    location : the file with a line, or with the record's number or id
    raw : the record's original bytes, or its JSON
    whole_frame : whether the whole frame is refused, with all its records
    kind : the type of the refused record; None for an optional part of a record
    frame_id : the frame that it is about, where it was known
    """

    reason: str
    detail: str
    location: str
    raw: bytes
    whole_frame: bool = False
    kind: RecordKind | None = None
    frame_id: FrameId | None = None


Item = FrameItem | Disputed | Rejection


@dataclass(frozen=True)
class Dataset:
    """An opened data set: name, number of listed frames, and an iterator that yields items once.

    Parameters
    ----------
    frames : None if it is unknown until all items are read
    """

    name: str
    frames: int | None
    items: Iterable[Item]
    left: set[FrameId] = field(default_factory=set)
    """Frames that were sent to a tool and have not come back so far."""
    categories: CategoryChange | None = None
    """The detector's category map, to be stored before the data set."""
