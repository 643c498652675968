"""Request bodies, strictly parsed."""

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.contracts.bounds import TIME_OUT_OF_RANGE, CaptureTime
from services.contracts.errors import InvalidRecord
from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    FrameVector,
    IouType,
    PredictionsMade,
)
from services.contracts.events import Position as Place
from services.contracts.names import AnyDriveId, AnyFrameId, AnyVehicleId, DetectorPart, Tags
from services.contracts.run_lengths import INVALID_MASK
from services.formats import fields
from services.formats.json_keys import check_keys

_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]

_REASONS = {
    "json_invalid": "invalid_json",
    TIME_OUT_OF_RANGE: "invalid_time",
    INVALID_MASK: INVALID_MASK,
}
_BOX: dict[str, Any] = {"category": "stop sign", "bbox": [412.0, 96.5, 48.0, 51.0]}


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FrameMetadata(_Body):
    """A frame's metadata; a repeated frame_id needs the same metadata and image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "frame_id": "vehicle-7:2026-05-04T10:00:00.250Z",
                    "drive_id": "vehicle-7:2026-05-04",
                    "captured_at": "2026-05-04T10:00:00.250Z",
                    "position": {"lat": 52.5163, "lon": 13.3777, "heading": 92.0},
                }
            ]
        }
    )

    frame_id: AnyFrameId
    vehicle_id: AnyVehicleId | None = Field(None, description="Default: the token's vehicle.")
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    position: Place | None = Field(
        None, description="The image's own, from EXIF or XMP, where it is not given."
    )
    tags: Tags | None = Field(
        None, description="What figures are compared by, such as `weather: rain`; 32 at most."
    )
    vector: FrameVector | None = Field(
        None, description="The image's vector by a model that runs on the vehicle."
    )


class SentDetection(Detection):
    """One detection; a score that exceeds 1 by float32 rounding is stored as 1."""

    score: Annotated[float, Field(ge=0, le=fields.MAX_SCORE)]

    def clipped(self) -> Detection:
        """The same with a score of at most 1."""
        fields_ = {**dict(self), "score": min(self.score, 1.0)}
        return Detection.model_construct(self.model_fields_set, **fields_)


class Predictions(_Body):
    """All detections of one detector version on one frame."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "frame_id": "vehicle-7:2026-05-04T10:00:00.250Z",
                    "detector": "signs",
                    "version": "4.2",
                    "detections": [_BOX | {"score": 0.87}],
                }
            ]
        }
    )

    frame_id: AnyFrameId
    detector: DetectorPart
    version: DetectorPart
    complete: bool = Field(
        True,
        description="Whether these are all detections. False keeps the frame out of reference"
        " and mAP until all detections are sent.",
    )
    iou_type: IouType = Field(
        "bbox",
        description="What the detections are matched by: their boxes, or their masks. The same"
        " for all frames of a detector version.",
    )
    detections: tuple[SentDetection, ...]

    @property
    def scores_clipped(self) -> int:
        """Number of sent scores above 1, which the event has as 1."""
        return sum(detection.score > 1 for detection in self.detections)

    def draft(self) -> PredictionsMade:
        """The event, not numbered yet."""
        _check_boxes(self.detections)
        return PredictionsMade(
            frame_id=self.frame_id,
            detector=self.detector,
            version=self.version,
            complete=self.complete,
            iou_type=self.iou_type,
            detections=tuple(detection.clipped() for detection in self.detections),
        )


class GroundTruth(_Body):
    """All objects of one frame; an empty list means that the frame has no objects."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "frame_id": "vehicle-7:2026-05-04T10:00:00.250Z",
                    "annotations": [_BOX],
                }
            ]
        }
    )

    frame_id: AnyFrameId
    annotated_by: _Name | None = Field(None, description="Default: the token's person.")
    annotation_source: Literal["import", "reannotation"] = "reannotation"
    complete: bool = Field(
        True,
        description="Whether these are all objects. False keeps the frame out of reference and mAP"
        " until all objects are sent.",
    )
    annotations: tuple[Annotation, ...]
    scores_clipped: ClassVar[int] = 0
    """Ground truth has none."""

    def draft(self) -> FrameAnnotated:
        """The event, not numbered yet."""
        _check_boxes(self.annotations)
        return FrameAnnotated(
            frame_id=self.frame_id,
            annotated_by=self.annotated_by,
            annotation_source=self.annotation_source,
            complete=self.complete,
            annotations=self.annotations,
        )


Body = TypeVar("Body", bound=BaseModel)


def read_body(model: type[Body], content: bytes | str) -> Body:
    """A body of this kind.

    Raises
    ------
    InvalidRecord
        `invalid_json`, `invalid_time`, `invalid_mask`, `malformed_record` or `duplicate_key`.
    """
    try:
        body = model.model_validate_json(content, strict=True)
    except ValidationError as exc:
        first: Any = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        reason = _REASONS.get(first["type"], "malformed_record")
        raise InvalidRecord(f"{where}: {first['msg']}", reason=reason) from exc
    check_keys(content)
    return body


def _check_boxes(parts: tuple[SentDetection, ...] | tuple[Annotation, ...]) -> None:
    for part in parts:
        fields.box(part.bbox)
