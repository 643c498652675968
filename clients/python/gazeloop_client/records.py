"""The records that a vehicle sends, as ingest's OpenAPI document describes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypedDict


class _Place(TypedDict):
    lat: float
    lon: float


class Position(_Place, total=False):
    """Where a frame was taken: degrees (WGS 84); heading clockwise from north."""

    heading: float


class Vector(TypedDict):
    """A vector by a model on the vehicle: its name, and base64 of little-endian float32."""

    model: str
    values: str


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
    tags: Mapping[str, str]
    vector: Vector


class Mask(TypedDict):
    """A COCO run-length mask: [height, width] of the image, and its compressed counts."""

    size: Sequence[int]
    counts: str


class _Detection(TypedDict):
    category: str
    score: float
    bbox: Sequence[float]


class Detection(_Detection, total=False):
    """One box of a detector: [x, y, width, height] in pixels, score from 0 to 1."""

    mask: Mask
    track_id: str
    attributes: Mapping[str, str]
    vector: Vector


class _Predictions(TypedDict):
    frame_id: str
    detector: str
    version: str
    detections: Sequence[Detection]


class Predictions(_Predictions, total=False):
    """All that one detector version found on one frame; nothing found is a record too.

    `complete` is False if some detections could not be sent; `iou_type` is "segm" if detections
    are to be matched by their masks.
    """

    complete: bool
    iou_type: Literal["bbox", "segm"]


class _Annotation(TypedDict):
    category: str
    bbox: Sequence[float]


class Annotation(_Annotation, total=False):
    """One annotated object: [x, y, width, height] in pixels."""

    mask: Mask


class _GroundTruth(TypedDict):
    frame_id: str
    annotations: Sequence[Annotation]


class GroundTruth(_GroundTruth, total=False):
    """All objects of one frame; an empty list says: annotated, and empty."""

    annotated_by: str
    annotation_source: Literal["import", "reannotation"]
    complete: bool
