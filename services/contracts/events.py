"""The events, named in the past tense, with their subjects and revisions.

An event carries the full state of its subject, so only the highest revision counts: consumers may
drop, repeat or reorder all others.
"""

import math
from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    computed_field,
    field_validator,
)
from pydantic_core import PydanticCustomError

from services.contracts import identity
from services.contracts.bounds import (
    MAX_CATEGORIES,
    MAX_DETECTORS,
    MAX_DIMENSIONS,
    MAX_OBJECTS,
    MAX_RLE,
    Area,
    ByteCount,
    CaptureTime,
    Coordinate,
    Duration,
    PixelCount,
    Share,
    Side,
    SourceRevision,
)
from services.contracts.identity import DetectorId, EventId, RegionId
from services.contracts.names import (
    NAME,
    AnyCategory,
    AnyDetectorId,
    AnyDriveId,
    AnyFrameId,
    AnyModelId,
    AnyPointId,
    AnyRegionId,
    AnyVehicleId,
    Attributes,
    DetectorPart,
    Tags,
    TrackId,
)
from services.contracts.run_lengths import INVALID_MASK, MAX_PIXELS, run_lengths

SCHEMA_VERSION: Literal[2] = 2
REANNOTATION_SOURCE = "reannotation"
"""The `annotation_source` of ground truth that the annotation team has corrected."""
AnyBox = tuple[Coordinate, Coordinate, Side, Side]


class Strict(BaseModel):
    """A part of an event."""

    # Producers are strict: unknown fields and NaN are refused. The codec lets consumers ignore
    # unknown fields.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Split(StrEnum):
    """Whether a frame is looked at for needles (reference) or searched (haystack)."""

    REFERENCE = "reference"
    HAYSTACK = "haystack"


class ErrorType(StrEnum):
    """TIDE's error types (Bolya et al., ECCV 2020): five of false positives, and the miss."""

    CLASSIFICATION = "classification"
    LOCALIZATION = "localization"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    MISSED = "missed"


FALSE_POSITIVES: Final[tuple[ErrorType, ...]] = tuple(
    error for error in ErrorType if error is not ErrorType.MISSED
)
IouType = Literal["bbox", "segm"]
"""What overlaps are measured on: boxes or masks."""


class Position(Strict):
    """WGS 84 degrees; heading clockwise from north."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    heading: Annotated[float, Field(ge=0, lt=360)] | None = None


class Image(Strict):
    """Where an image's bytes are, and what they are."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    uri: Annotated[str, Field(min_length=1, max_length=1000)]
    size_bytes: ByteCount
    media_type: Literal["image/jpeg", "image/png"]
    width: PixelCount
    height: PixelCount


class Rle(Strict):
    """A COCO run-length mask: `[height, width]` and its compressed counts."""

    size: tuple[PixelCount, PixelCount]
    counts: Annotated[str, Field(max_length=MAX_RLE)]

    # Of the field, because pydantic repeats a model's own validator wherever the mask is put.
    @field_validator("counts")
    @classmethod
    def _fill_the_size(cls, counts: str, others: ValidationInfo) -> str:
        if "size" not in others.data:  # it is refused already
            return counts
        # Comparing masks whose runs do not fill their size, native code would never return.
        try:
            filled = sum(run_lengths(counts))
        except ValueError as exc:
            raise PydanticCustomError(INVALID_MASK, "{why}", {"why": str(exc)}) from exc
        if filled != math.prod(others.data["size"]) or filled >= MAX_PIXELS:
            raise PydanticCustomError(INVALID_MASK, "the run lengths do not fill the mask")
        return counts


class FrameVector(Strict):
    """A vector on an event: base64 of little-endian float32, and the name of its model."""

    model: AnyModelId
    values: Annotated[
        str, Field(max_length=4 * -(-MAX_DIMENSIONS * 4 // 3), pattern=r"^[A-Za-z0-9+/_-]+=*$")
    ]


class Sampling(Strict):
    """How a frame was drawn; a frame without it was chosen."""

    campaign: Annotated[str, NAME]
    probability: Annotated[float, Field(gt=0, le=1)]


class Detection(Strict):
    """One box that a detector reports."""

    category: AnyCategory
    score: Share
    bbox: AnyBox
    mask: Rle | None = None
    track_id: TrackId | None = None
    attributes: Attributes | None = None
    vector: FrameVector | None = None


class Annotation(Strict):
    """One object of the ground truth; `area` in square pixels, else the mask's, else the box's."""

    category: AnyCategory
    bbox: AnyBox
    area: Area | None = None
    crowd: bool = False
    ignore: bool = False
    mask: Rle | None = None
    track_id: TrackId | None = None
    attributes: Attributes | None = None

    @property
    def counts(self) -> bool:
        """Whether it is an object to find: COCO counts neither crowds nor ignored annotations."""
        return not (self.crowd or self.ignore)


def _upgraded(version: object) -> object:
    """Version 1 of an event equals version 2 with all new fields left out."""
    return SCHEMA_VERSION if version == 1 else version


class Event(Strict, ABC):
    """What all events share."""

    schema_version: Annotated[Literal[2], BeforeValidator(_upgraded)] = SCHEMA_VERSION

    @abstractmethod
    def source(self) -> tuple[object, ...]:
        """The source identity: equal for every repeat of this event."""

    @abstractmethod
    def key(self) -> str:
        """The Kafka record's key."""

    def partitioned_by(self) -> str:
        """The partition key: by default the record's key."""
        return self.key()

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know pydantic's decorator
    @property
    def event_id(self) -> EventId:
        """Deterministic: uuid5 of the event's type and source identity."""
        return identity.event_id(type(self).__name__, *self.source())


class FrameEvent(Event):
    """An event that is about one frame."""

    frame_id: AnyFrameId

    def key(self) -> str:
        return self.frame_id


class FrameCaptured(FrameEvent):
    """A vehicle took a picture. Without a drive, the frame is split by its own id."""

    type: Literal["FrameCaptured"] = "FrameCaptured"
    vehicle_id: AnyVehicleId
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    position: Position | None = None
    image: Image
    tags: Tags | None = None
    camera: Annotated[str, NAME] | None = None
    vector: FrameVector | None = None

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.image.sha256)


class PredictionsMade(FrameEvent):
    """One detector version looked at one frame; all that it found, in its own order."""

    type: Literal["PredictionsMade"] = "PredictionsMade"
    detector: DetectorPart
    version: DetectorPart
    revision: SourceRevision = 1
    complete: bool = True
    """False where detections were refused; the frame is not matched for this detector."""
    withdrawn: bool = False
    """Whether an undo took the detector's predictions back; it has none then."""
    iou_type: IouType = "bbox"
    """What the detections are matched by; an object without a mask counts as its box, filled."""
    detections: Annotated[tuple[Detection, ...], Field(max_length=MAX_OBJECTS)]

    @property
    def detector_id(self) -> DetectorId:
        """`detector@version`."""
        return identity.detector_id(self.detector, self.version)

    def region_ids(self) -> list[RegionId]:
        """Ids of the detections, in their order."""
        return identity.region_ids(
            self.frame_id,
            self.detector_id,
            ((d.category, d.bbox, d.score) for d in self.detections),
        )

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.detector, self.version, self.revision)


class FrameAnnotated(FrameEvent):
    """A frame's whole ground truth. No annotations means annotated, and empty."""

    type: Literal["FrameAnnotated"] = "FrameAnnotated"
    revision: SourceRevision = 1
    annotated_by: Annotated[str, NAME] | None = None
    annotation_source: Annotated[str, NAME] = "import"
    lead_time_s: Duration | None = None
    """How long the annotator took, if their tool reports it."""
    complete: bool = True
    """False where annotations were refused that may show an object; the frame is not matched."""
    withdrawn: bool = False
    """Whether an undo took the ground truth back; the frame counts as not annotated then."""
    categories: Annotated[tuple[AnyCategory, ...], Field(max_length=MAX_CATEGORIES)] | None = None
    """The categories that were annotated; None: all."""
    sampling: Sampling | None = None
    annotations: Annotated[tuple[Annotation, ...], Field(max_length=MAX_OBJECTS)]

    def annotation_ids(self) -> list[RegionId]:
        """Ids of the annotations, in their order."""
        return identity.annotation_ids(
            self.frame_id, ((a.category, a.bbox) for a in self.annotations)
        )

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.revision)


class FrameEmbedded(FrameEvent):
    """A frame's vectors are durable: its global one, and one per region worth finding."""

    type: Literal["FrameEmbedded"] = "FrameEmbedded"
    model: AnyModelId
    frame_point: AnyPointId
    regions: Annotated[
        dict[AnyDetectorId, Annotated[tuple[AnyRegionId, ...], Field(max_length=MAX_OBJECTS)]],
        Field(max_length=MAX_DETECTORS),
    ]
    predictions_revisions: Annotated[
        dict[AnyDetectorId, SourceRevision], Field(max_length=MAX_DETECTORS)
    ]
    annotations: Annotated[tuple[AnyRegionId, ...], Field(max_length=MAX_OBJECTS)] | None = None
    """The annotated objects of a reference frame; None where annotations are not embedded."""
    ground_truth_revision: SourceRevision | None = None

    def region_ids(self) -> list[RegionId]:
        """Every detection and annotation that has a vector."""
        detected = (region for region_ids in self.regions.values() for region in region_ids)
        return [*detected, *(self.annotations or ())]

    def source(self) -> tuple[object, ...]:
        revisions = sorted(self.predictions_revisions.items())
        if self.ground_truth_revision is None:
            return (self.frame_id, self.model, revisions)
        return (self.frame_id, self.model, revisions, self.ground_truth_revision)
