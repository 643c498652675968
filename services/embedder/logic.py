"""Decides which regions of a frame need vectors, and builds the points and the event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    FrameVector,
    Image,
    Split,
)
from services.contracts.identity import (
    Box,
    Category,
    DetectorId,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.arrays import FloatArray, Vector
from services.domain.ports.embeddings import EmbeddingRecord
from services.domain.ports.vectors import Payload, Point
from services.domain.splits import SplitRule

REGION_KEYWORDS = ("frame_id", "detector", "category", "split", "drive_id", "vehicle_id")
REGION_NUMBERS = ("score", "captured_at")
FRAME_KEYWORDS = ("split", "drive_id", "vehicle_id")
FRAME_NUMBERS = ("captured_at",)
_BYTES_PER_PIXEL = 4
"""Memory of an RGB pixel in Pillow."""
_JPEG_SCALES = (8, 4, 2)


@dataclass(frozen=True)
class Region:
    """A detection that reaches the score for embedding, or an annotated object.

    Attributes
    ----------
    detector : None of an annotated object
    vector : the one on the event of the detection
    """

    region_id: RegionId
    detector: DetectorId | None
    category: Category
    score: float
    bbox: Box
    vector: FrameVector | None = None


class Model(Protocol):
    """The facts about a model that the rules here need."""

    @property
    def model_id(self) -> ModelId:
        """Its id."""
        ...

    def has_vector(self, region: Region) -> bool:
        """Whether the region can have a vector of the model."""
        ...


@dataclass(frozen=True)
class EmbeddingTask:
    """The remaining work to embed a captured frame.

    Attributes
    ----------
    embedded : the event to publish when the frame is done
    missing : regions that have no vector yet
    stored : whether the embedding store has `embedded` already, so that only publishing is left
    revised : whether vectors of dropped regions may be stored
    first : whether no model has embedded the frame before
    """

    captured: FrameCaptured
    embedded: FrameEmbedded
    missing: tuple[Region, ...]
    stored: bool
    revised: bool
    first: bool


def regions_of(record: EmbeddingRecord, score: float) -> list[Region]:
    """Detections that wait for vectors, of every detector, and reach the score."""
    return [
        Region(
            region_id,
            detector,
            detection.category,
            detection.score,
            detection.bbox,
            detection.vector,
        )
        for detector, predictions in sorted(record.waiting.items())
        for region_id, detection in zip(
            predictions.region_ids(), predictions.detections, strict=True
        )
        if detection.score >= score
    ]


def annotated_objects(truth: FrameAnnotated) -> list[Region]:
    """The objects that can be missed."""
    return [
        Region(region_id, None, annotation.category, 0.0, annotation.bbox)
        for region_id, annotation in zip(truth.annotation_ids(), truth.annotations, strict=True)
        if annotation.counts
    ]


def task_of(
    record: EmbeddingRecord, model: Model, score: float, rule: SplitRule
) -> EmbeddingTask | None:
    """The task for a frame; None while its image is unknown."""
    captured = record.captured
    if captured is None:
        return None
    objects: list[Region] = []
    # Only reference frames have misses.
    is_reference = rule.split_of(captured.frame_id, captured.drive_id) is Split.REFERENCE
    if record.ground_truth is not None and is_reference:
        objects = annotated_objects(record.ground_truth)
    found = (*regions_of(record, score), *objects)
    regions = [region for region in found if model.has_vector(region)]
    embedded = _embedded(record, model.model_id, regions)
    stored = record.embedded.get(model.model_id)
    done = set(stored.region_ids()) if stored else set()
    return EmbeddingTask(
        captured=captured,
        embedded=embedded,
        missing=tuple(region for region in regions if region.region_id not in done),
        stored=stored == embedded,
        revised=any(predictions.revision > 1 for predictions in record.waiting.values())
        or (record.ground_truth is not None and record.ground_truth.revision > 1)
        or bool(stored),
        first=not record.embedded,
    )


def _embedded(record: EmbeddingRecord, model: ModelId, regions: Sequence[Region]) -> FrameEmbedded:
    """The event that reports what the model has embedded after the task."""
    stored = record.embedded.get(model)
    done, done_revisions = (stored.regions, stored.predictions_revisions) if stored else ({}, {})
    waiting = {
        detector: tuple(r.region_id for r in regions if r.detector == detector)
        for detector in record.waiting
    }
    revisions = {detector: predictions.revision for detector, predictions in record.waiting.items()}
    annotations = stored.annotations if stored else None
    truth_revision = stored.ground_truth_revision if stored else None
    if record.ground_truth is not None:
        annotations = tuple(r.region_id for r in regions if r.detector is None)
        truth_revision = record.ground_truth.revision
    return FrameEmbedded(
        frame_id=record.frame_id,
        model=model,
        frame_point=frame_point_id(model, record.frame_id),
        regions=dict(sorted({**done, **waiting}.items())),
        predictions_revisions=dict(sorted({**done_revisions, **revisions}.items())),
        annotations=annotations,
        ground_truth_revision=truth_revision,
    )


def passes(
    tasks: Sequence[EmbeddingTask], *, frames: int, size_bytes: int, decoded_side: int | None
) -> list[list[EmbeddingTask]]:
    """Split the tasks, in order, into passes that fit into memory.

    Parameters
    ----------
    frames, size_bytes : limits of a pass; a single frame above the limit gets its own pass
    decoded_side : of the embedder
    """
    parted: list[list[EmbeddingTask]] = []
    room = 0
    for task in tasks:
        size = picture_bytes(task.captured.image, decoded_side)
        if not parted or len(parted[-1]) == frames or size > room:
            parted.append([])
            room = size_bytes
        parted[-1].append(task)
        room -= size
    return parted


def picture_bytes(image: Image, decoded_side: int | None) -> int:
    """Bytes of memory that a decoded image needs."""
    across, along = image.width, image.height
    if decoded_side is not None and image.media_type == "image/jpeg":
        smaller = min(across, along) // decoded_side
        scale = next((number for number in _JPEG_SCALES if number <= smaller), 1)
        across, along = -(-across // scale), -(-along // scale)
    return across * along * _BYTES_PER_PIXEL


def boxes_within(
    task: EmbeddingTask, decoded: tuple[int, int], whole: tuple[int, int]
) -> FloatArray:
    """(N, 4) boxes of the task's missing regions, in pixels of the decoded frame."""
    return scaled_boxes([region.bbox for region in task.missing], decoded, whole)


def scaled_boxes(
    boxes: Sequence[Box], decoded: tuple[int, int], whole: tuple[int, int]
) -> FloatArray:
    """(N, 4) boxes on the full frame, converted to pixels of the decoded frame."""
    scale: FloatArray = np.array(decoded, float) / whole
    return np.array(boxes, float).reshape(-1, 4) * np.tile(scale, 2)


def frame_point(task: EmbeddingTask, vector: Vector, rule: SplitRule) -> Point:
    """The point of the frame's own vector, with the payload that searches filter by."""
    return Point(task.embedded.frame_point, vector, _frame_payload(task, rule))


def region_points(
    task: EmbeddingTask, vectors: NDArray[np.float32], rule: SplitRule
) -> list[Point]:
    """The points of the task's missing regions, from (N, D) vectors in the same order."""
    frame = _frame_payload(task, rule)
    return [
        Point(
            region_point_id(task.embedded.model, region.region_id),
            vector,
            {**frame, **_region_payload(region)},
        )
        for region, vector in zip(task.missing, vectors, strict=True)
    ]


def _frame_payload(task: EmbeddingTask, rule: SplitRule) -> Payload:
    frame = task.captured
    split = rule.split_of(frame.frame_id, frame.drive_id)
    return {
        "model": task.embedded.model,
        "frame_id": frame.frame_id,
        "split": split.value,
        "drive_id": frame.drive_id,
        "vehicle_id": frame.vehicle_id,
        "captured_at": frame.captured_at.timestamp(),
    }


def _region_payload(region: Region) -> Payload:
    x, y, width, height = (float(value) for value in region.bbox)
    return {
        "region_id": region.region_id,
        # An annotated object matches no filter by detector.
        "detector": region.detector or "",
        "category": region.category,
        "score": float(region.score),
        "x": x,
        "y": y,
        "width": width,
        "height": height,
    }
