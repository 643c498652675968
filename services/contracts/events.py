"""The events, named in the past tense, with their subjects and revisions.

An event carries the full state of its subject, so only the highest revision counts: consumers may
drop, repeat or reorder all others.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    model_validator,
)

from services.contracts import identity
from services.contracts.bounds import (
    MAX_INT32,
    Area,
    ByteCount,
    CaptureTime,
    Coordinate,
    Duration,
    ObjectCount,
    Overlap,
    PixelCount,
    Rank,
    Revision,
    Share,
    Side,
    SourceRevision,
)
from services.contracts.identity import (
    Category,
    DetectorId,
    DriveId,
    EventId,
    FrameId,
    ModelId,
    NeedleId,
    PointId,
    RegionId,
    VehicleId,
)
from services.contracts.visible_text import HIDDEN

SCHEMA_VERSION: Literal[1] = 1
REANNOTATION_SOURCE = "reannotation"
"""The `annotation_source` of ground truth that the annotation team has corrected."""

# The schemas are for producers: they state what ingest accepts. Events stored before ingest refused
# indistinguishable names can still be read, because the models' own patterns are wider.
_Id = Field(
    min_length=1,
    max_length=200,
    pattern=r"^[^\s\x00-\x1f]+$",
    json_schema_extra={"pattern": rf"^[^\s{HIDDEN}]+$"},
)
_Name = Field(
    min_length=1,
    max_length=100,
    pattern=r"^[^\x00-\x1f]+$",
    json_schema_extra={"pattern": rf"^[^{HIDDEN}]*[^\s{HIDDEN}][^{HIDDEN}]*$"},
)
_ModelId = Annotated[ModelId, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]
DetectorPart = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\s@\x00-\x1f]+$")]
_DetectorId = Annotated[DetectorId, _Id]
# No pattern: an event has hundreds of these, and a pattern would double the time of validation.
_RegionId = Annotated[RegionId, Field(min_length=1, max_length=200)]
_NeedleId = Annotated[NeedleId, _Id]
_Bits = Annotated[int, Field(ge=0, lt=1 << 40)]
AnyFrameId = Annotated[FrameId, _Id]
AnyVehicleId = Annotated[VehicleId, _Id]
AnyDriveId = Annotated[DriveId, _Id]
AnyCategory = Annotated[Category, _Name]
AnyBox = tuple[Coordinate, Coordinate, Side, Side]


class _Model(BaseModel):
    # Producers are strict: unknown fields and NaN are refused. The codec lets consumers ignore
    # unknown fields.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Split(StrEnum):
    """Whether a frame is looked at for needles (reference) or searched (haystack)."""

    REFERENCE = "reference"
    HAYSTACK = "haystack"


class ErrorType(StrEnum):
    """TIDE's kinds of false positive (Bolya et al., ECCV 2020)."""

    CLASSIFICATION = "classification"
    LOCALIZATION = "localization"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"


class Position(_Model):
    """WGS 84 degrees; heading clockwise from north."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    heading: Annotated[float, Field(ge=0, lt=360)] | None = None


class Image(_Model):
    """Where an image's bytes are, and what they are."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    uri: Annotated[str, Field(min_length=1, max_length=1000)]
    size_bytes: ByteCount
    media_type: Literal["image/jpeg", "image/png"]
    width: PixelCount
    height: PixelCount


class Rle(_Model):
    """A COCO run-length mask: `[height, width]` and its compressed counts."""

    size: tuple[PixelCount, PixelCount]
    counts: str


class Detection(_Model):
    """One box that a detector reports."""

    category: AnyCategory
    score: Share
    bbox: AnyBox
    mask: Rle | None = None


class Annotation(_Model):
    """One object of the ground truth; `area` in square pixels, the box's where it is not given."""

    category: AnyCategory
    bbox: AnyBox
    area: Area | None = None
    crowd: bool = False
    ignore: bool = False
    mask: Rle | None = None


class Event(_Model, ABC):
    """What all events share."""

    schema_version: Literal[1] = SCHEMA_VERSION

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


class _FrameEvent(Event):
    frame_id: AnyFrameId

    def key(self) -> str:
        return self.frame_id


class FrameCaptured(_FrameEvent):
    """A vehicle took a picture. Without a drive, the frame is split by its own id."""

    type: Literal["FrameCaptured"] = "FrameCaptured"
    vehicle_id: AnyVehicleId
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    position: Position | None = None
    image: Image

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.image.sha256)


class PredictionsMade(_FrameEvent):
    """One detector version looked at one frame; all that it found, in its own order."""

    type: Literal["PredictionsMade"] = "PredictionsMade"
    detector: DetectorPart
    version: DetectorPart
    revision: SourceRevision = 1
    complete: bool = True
    """False where detections were refused; the frame is not matched for this detector."""
    detections: tuple[Detection, ...]

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


class FrameAnnotated(_FrameEvent):
    """A frame's whole ground truth. No annotations means annotated, and empty."""

    type: Literal["FrameAnnotated"] = "FrameAnnotated"
    revision: SourceRevision = 1
    annotated_by: Annotated[str, _Name] | None = None
    annotation_source: Annotated[str, _Name] = "import"
    lead_time_s: Duration | None = None
    """How long the annotator took, if their tool reports it."""
    complete: bool = True
    """False where annotations were refused that may show an object; the frame is not matched."""
    annotations: tuple[Annotation, ...]

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.revision)


class FrameEmbedded(_FrameEvent):
    """A frame's vectors are durable: its global one, and one per region worth finding."""

    type: Literal["FrameEmbedded"] = "FrameEmbedded"
    model: _ModelId
    frame_point: Annotated[PointId, _Id]
    regions: dict[_DetectorId, tuple[_RegionId, ...]]
    predictions_revisions: dict[_DetectorId, SourceRevision]

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.model, sorted(self.predictions_revisions.items()))


class FrameMatched(_FrameEvent):
    """One detector's detections of one category on one frame, matched by COCO's rules.

    Detections are parallel tuples in descending score, at most 100. Bit `10 * area + threshold` of
    `matched` and `ignored` stands for one of four area ranges (all, small, medium, large) and ten
    IoU thresholds (.50 to .95). No detections and no ground truths say: nothing is left here.
    """

    type: Literal["FrameMatched"] = "FrameMatched"
    detector: _DetectorId
    category: AnyCategory
    revision: Revision
    split: Split
    shortlisted: bool
    reannotated: bool = False
    """Whether the ground truth came from reannotation, which makes each region a verdict."""
    vehicle_id: AnyVehicleId
    drive_id: AnyDriveId | None
    captured_at: CaptureTime
    regions: tuple[_RegionId, ...]
    bboxes: tuple[AnyBox, ...]
    scores: tuple[Share, ...]
    matched: tuple[_Bits, ...]
    ignored: tuple[_Bits, ...]
    overlaps: tuple[Overlap, ...]
    """IoU with the ground truth matched at .5; 0 where there is none."""
    errors: tuple[ErrorType | None, ...]
    """The type of false positive at IoU .5; None for a true positive or an ignored detection."""
    true_categories: tuple[AnyCategory | None, ...]
    """For a classification error, the category of the ground truth that it was confused with."""
    ground_truths: tuple[ObjectCount, ObjectCount, ObjectCount, ObjectCount]
    """The number that counts (neither crowd nor ignored), per area range."""

    @model_validator(mode="after")
    def _parallel(self) -> Self:
        columns: tuple[tuple[object, ...], ...] = (
            self.bboxes,
            self.scores,
            self.matched,
            self.ignored,
            self.overlaps,
            self.errors,
            self.true_categories,
        )
        if any(len(column) != len(self.regions) for column in columns):
            raise ValueError("the detections' columns differ in length")
        return self

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.detector, self.category, self.revision)

    def key(self) -> str:
        return f"{self.detector}|{self.category}|{self.frame_id}"

    def partitioned_by(self) -> str:
        """The category, so that one evaluator owns all of a category; AP is per category."""
        return self.category


class _NeedleEvent(Event):
    needle_id: _NeedleId
    revision: Revision
    frame_id: AnyFrameId
    detector: _DetectorId
    category: AnyCategory

    def source(self) -> tuple[object, ...]:
        return (self.needle_id, self.revision)

    def key(self) -> str:
        return self.needle_id


class NeedleFound(_NeedleEvent):
    """A false positive on a reference frame, at or above the operating score."""

    type: Literal["NeedleFound"] = "NeedleFound"
    region_id: _RegionId
    score: Share
    bbox: AnyBox
    error_type: ErrorType
    true_category: AnyCategory | None = None
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime


class NeedleRetracted(_NeedleEvent):
    """A correction cleared the needle: the detector was right, or no longer says so."""

    type: Literal["NeedleRetracted"] = "NeedleRetracted"


class Candidate(_Model):
    """A haystack region that would fail as the needle does, and why we think so."""

    frame_id: AnyFrameId
    region_id: _RegionId
    category: AnyCategory
    score: Share
    bbox: AnyBox
    similarity: Rank
    """Cosine to the needle's region vector."""
    evidence: Rank
    """What candidates are ranked by, highest first."""
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    image_uri: Annotated[str, Field(max_length=1000)]


class Provenance(_Model):
    """How a shortlist came to be."""

    model: _ModelId
    strategy: Annotated[str, Field(max_length=100)]
    """The name of the strategy: `worst-frames` or `costliest-errors`."""
    size_limit: Annotated[int, Field(ge=0, le=MAX_INT32)]
    method: Annotated[str, Field(max_length=100)] = "similarity"
    """How evidence was computed: `logistic`, `contrast` or `similarity`."""


class ShortlistPublished(Event):
    """A needle's ranked candidates, all of them; none any more when the needle is retracted."""

    type: Literal["ShortlistPublished"] = "ShortlistPublished"
    needle_id: _NeedleId
    revision: Revision
    needle: NeedleFound
    candidates: tuple[Candidate, ...]
    provenance: Provenance

    def source(self) -> tuple[object, ...]:
        return (self.needle_id, self.revision)

    def key(self) -> str:
        return self.needle_id
