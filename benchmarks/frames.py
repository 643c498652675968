"""Frames that a benchmark publishes, and an embedder for them that costs nothing."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image as Picture

from benchmarks.pictures import stored_picture
from services.app.parts import App
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
)
from services.contracts.identity import DriveId, FrameId, ModelId, VehicleId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.models.torch_embedder import TorchEmbedder

PRECOMPUTED = "precomputed"
_DIMENSION = 256
_CATEGORIES = ("stop sign", "speed limit", "traffic light", "crossing")
_PER_DRIVE = 30
_START = datetime(2026, 5, 4, tzinfo=UTC)
_SIZE, _BLOCKS = (160, 120), (8, 6)


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
    TorchEmbedder.of = classmethod(lambda *_: Precomputed())  # type: ignore[assignment,method-assign]


def facts(app: App, number: int) -> list[Event]:
    """What is known of one frame: a third of the detections is wrong."""
    draw = random.Random(number)  # noqa: S311  # a benchmark's frames
    frame_id = FrameId(f"bench-{number:08d}")
    image = stored_picture(app.stores, number, _SIZE, _BLOCKS)
    boxes = [(draw.uniform(0, 100), draw.uniform(0, 60), 40.0, 40.0) for _ in range(3)]
    named = [draw.choice(_CATEGORIES) for _ in boxes]
    return [
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
        FrameAnnotated(
            frame_id=frame_id,
            annotations=tuple(
                Annotation(category=name, bbox=box)
                for name, box in zip(named[:2], boxes[:2], strict=True)
            ),
        ),
    ]
