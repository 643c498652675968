"""Frames that a benchmark publishes, and an embedder for them that costs nothing."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image as Picture

from benchmarks.pictures import drawn_picture
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    Image,
    PredictionsMade,
)
from services.contracts.identity import DriveId, FrameId, ModelId, VehicleId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.models import choosing

PRECOMPUTED = "precomputed"
_DIMENSION = 256
_PER_DRIVE = 30
_START = datetime(2026, 5, 4, tzinfo=UTC)
PICTURE_SIZE = (160, 120)
_BLOCKS = (8, 6)


@dataclass(frozen=True)
class Stream:
    """What the frames of a stream contain.

    Attributes
    ----------
    detections : of each frame, a third of which is wrong
    annotated_every : one in so many frames is annotated
    """

    categories: tuple[str, ...]
    detections: int
    annotated_every: int


ANNOTATED = Stream(("stop sign", "speed limit", "traffic light", "crossing"), 3, 1)
"""All frames are annotated, as in an import."""
FLEET = Stream(tuple(f"category {number}" for number in range(30)), 8, 50)
"""Few frames are annotated, as in what vehicles send."""


class Precomputed:
    """Vectors that cost nothing: a service somewhere else has made them."""

    model_id = ModelId(PRECOMPUTED)
    frame_dimension = _DIMENSION
    region_dimension = _DIMENSION
    decoded_side: int | None = None

    def embed(self, images: Sequence[Picture.Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Vectors by the pictures' bytes."""
        found = []
        for image, box in zip(images, boxes, strict=True):
            seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8])
            vectors = np.random.default_rng(seed).normal(size=(1 + len(box), _DIMENSION))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            found.append(
                FrameVectors(vectors[0].astype(np.float32), vectors[1:].astype(np.float32))
            )
        return found


def precomputed_embeddings() -> None:
    """Let the embedder of this process be one that costs nothing."""
    choosing.embedder_of = lambda _: Precomputed()  # type: ignore[assignment]


def picture(number: int) -> bytes:
    """The JPEG of a frame."""
    return drawn_picture(number, PICTURE_SIZE, _BLOCKS)


def facts(number: int, image: Image, stream: Stream = ANNOTATED) -> list[Event]:
    """What is known of one frame."""
    draw = random.Random(number)  # noqa: S311  # a benchmark's frames
    frame_id = FrameId(f"bench-{number:08d}")
    count = stream.detections
    boxes = [(draw.uniform(0, 100), draw.uniform(0, 60), 40.0, 40.0) for _ in range(count)]
    named = [draw.choice(stream.categories) for _ in boxes]
    found: list[Event] = [
        FrameCaptured(
            frame_id=frame_id,
            vehicle_id=VehicleId(f"v{number % 5}"),
            drive_id=DriveId(f"drive-{number // _PER_DRIVE}"),
            captured_at=_START + timedelta(seconds=number),
            image=image,
        ),
        PredictionsMade(
            frame_id=frame_id,
            detector="bench",
            version="1",
            detections=tuple(
                Detection(category=name, score=draw.uniform(0.3, 1), bbox=box)
                for name, box in zip(named, boxes, strict=True)
            ),
        ),
    ]
    if number % stream.annotated_every == 0:
        right = count - count // 3
        annotations = tuple(
            Annotation(category=name, bbox=box)
            for name, box in zip(named[:right], boxes[:right], strict=True)
        )
        found.append(FrameAnnotated(frame_id=frame_id, annotations=annotations))
    return found
