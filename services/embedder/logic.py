"""Decides which regions of a frame need vectors, and builds the points and the event."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.contracts.events import Detection, FrameCaptured, FrameEmbedded, Image
from services.contracts.identity import (
    Box,
    DetectorId,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.detection.coco import FloatArray
from services.domain.ports.embeddings import EmbeddingRecord
from services.domain.ports.vectors import Payload, Point, Vector
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
    """A detection that reaches the score for embedding."""

    region_id: RegionId
    detector: DetectorId
    detection: Detection


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
        Region(region_id, detector, detection)
        for detector, predictions in sorted(record.waiting.items())
        for region_id, detection in zip(
            predictions.region_ids(), predictions.detections, strict=True
        )
        if detection.score >= score
    ]


def task_of(record: EmbeddingRecord, model: ModelId, score: float) -> EmbeddingTask | None:
    """The task for a frame; None while its image is unknown."""
    if record.captured is None:
        return None
    regions = regions_of(record, score)
    embedded = _embedded(record, model, regions)
    stored = record.embedded.get(model)
    done = {id_ for ids in stored.regions.values() for id_ in ids} if stored else set()
    return EmbeddingTask(
        captured=record.captured,
        embedded=embedded,
        missing=tuple(region for region in regions if region.region_id not in done),
        stored=stored == embedded,
        revised=any(made.revision > 1 for made in record.waiting.values()) or bool(stored),
        first=not record.embedded,
    )


def _embedded(record: EmbeddingRecord, model: ModelId, regions: Sequence[Region]) -> FrameEmbedded:
    """The event that says what the model has done after the task."""
    stored = record.embedded.get(model)
    done, done_revisions = (stored.regions, stored.predictions_revisions) if stored else ({}, {})
    waiting = {
        detector: tuple(r.region_id for r in regions if r.detector == detector)
        for detector in record.waiting
    }
    revisions = {detector: made.revision for detector, made in record.waiting.items()}
    return FrameEmbedded(
        frame_id=record.frame_id,
        model=model,
        frame_point=frame_point_id(model, record.frame_id),
        regions=dict(sorted({**done, **waiting}.items())),
        predictions_revisions=dict(sorted({**done_revisions, **revisions}.items())),
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
    return scaled_boxes([region.detection.bbox for region in task.missing], decoded, whole)


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
    x, y, width, height = (float(value) for value in region.detection.bbox)
    return {
        "region_id": region.region_id,
        "detector": region.detector,
        "category": region.detection.category,
        "score": float(region.detection.score),
        "x": x,
        "y": y,
        "width": width,
        "height": height,
    }
