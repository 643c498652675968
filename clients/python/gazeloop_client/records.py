"""The records that a vehicle sends, as ingest's OpenAPI document describes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict


class _Place(TypedDict):
    lat: float
    lon: float


class Position(_Place, total=False):
    """Where a frame was taken: degrees (WGS 84); heading clockwise from north."""

    heading: float


class _Frame(TypedDict):
    frame_id: str
    captured_at: datetime | str


class FrameMetadata(_Frame, total=False):
    """What a vehicle says of an image.

    The frame's and the drive's id begin with the vehicle's own id and `:` or `/`. A repeated
    frame_id must bring the same image and metadata again.
    """

    drive_id: str
    vehicle_id: str
    position: Position


class Detection(TypedDict):
    """One box of a detector: [x, y, width, height] in pixels, score from 0 to 1."""

    category: str
    score: float
    bbox: Sequence[float]


class _Predictions(TypedDict):
    frame_id: str
    detector: str
    version: str
    detections: Sequence[Detection]


class Predictions(_Predictions, total=False):
    """All that one detector version found on one frame; nothing found is a record too.

    `complete` is False if some detections could not be sent.
    """

    complete: bool


class Annotation(TypedDict):
    """One annotated object: [x, y, width, height] in pixels."""

    category: str
    bbox: Sequence[float]


class _GroundTruth(TypedDict):
    frame_id: str
    annotations: Sequence[Annotation]


class GroundTruth(_GroundTruth, total=False):
    """All objects of one frame; an empty list says: annotated, and empty."""

    annotated_by: str
    annotation_source: Literal["import", "reannotation"]
    complete: bool
