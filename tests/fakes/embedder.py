from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from services.contracts.identity import ModelId
from services.embedder.embedder import Boxes, FrameVectors
from services.runtime.stores.vectors import Vector


class WidthEmbedder:
    """Sees nothing of a region but its width: boxes of like width are alike."""

    model_id = ModelId("width-test")
    frame_dimension = 2
    region_dimension = 2

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        assert len(images) == len(boxes)
        return [FrameVectors(np.array([1, 0], np.float32), _directions(each)) for each in boxes]


def _directions(boxes: Boxes) -> Vector:
    angles = boxes[:, 2] / 100
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
