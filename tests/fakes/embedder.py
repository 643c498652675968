"""Embedders that need no weights."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from services.contracts.identity import ModelId
from services.domain.arrays import Vector
from services.embedder.embedder import Boxes, FrameVectors


class MeanColour:
    """Tells images and boxes apart by their mean colour, and counts its work."""

    frame_dimension = 3
    region_dimension = 4
    decoded_side: int | None = None

    def __init__(self, model: str = "colour-mean") -> None:
        self.model_id = ModelId(model)
        self.images_seen = 0
        self.boxes_seen = 0
        self.largest_pass = 0

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        self.images_seen += len(images)
        self.largest_pass = max(self.largest_pass, len(images))
        self.boxes_seen += sum(len(box) for box in boxes)
        return [
            FrameVectors(_unit(_colour(image)), _regions(image, box))
            for image, box in zip(images, boxes, strict=True)
        ]


def _regions(image: Image, boxes: Boxes) -> NDArray[np.float32]:
    rows = [
        _unit(np.append(_colour(image.crop((int(x), int(y), int(x + w), int(y + h)))), w))
        for x, y, w, h in boxes
    ]
    return np.array(rows, np.float32).reshape(-1, 4)


def _colour(image: Image) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.asarray(image, np.float64).reshape(-1, 3).mean(axis=0)
    return mean + 1


def _unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (values / np.linalg.norm(values)).astype(np.float32)


class WidthEmbedder:
    """Sees nothing of a region but its width: boxes of like width are alike."""

    model_id = ModelId("width-test")
    frame_dimension = 2
    region_dimension = 2
    decoded_side: int | None = None

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        assert len(images) == len(boxes)
        return [FrameVectors(np.array([1, 0], np.float32), _directions(box)) for box in boxes]


def _directions(boxes: Boxes) -> Vector:
    angles = boxes[:, 2] / 100
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
