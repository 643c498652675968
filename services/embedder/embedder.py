"""What embeds: pictures and boxes in, vectors out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from services.contracts.identity import ModelId
from services.domain.ports.vectors import Vector

Boxes = NDArray[np.float64]
"""(N, 4), [x, y, width, height] in pixels of its image."""


@dataclass(frozen=True)
class FrameVectors:
    """What one pass gives for one image: all float32 and of unit length.

    Attributes
    ----------
    frame : (F,), of the whole image
    regions : (N, R), one row per box
    """

    frame: Vector
    regions: NDArray[np.float32]


class Embedder(Protocol):
    """An embedding model, ready for use."""

    @property
    def model_id(self) -> ModelId:
        """Name of all that shapes the vectors; those of two names are never compared."""
        ...

    @property
    def frame_dimension(self) -> int:
        """Length of an image's vector."""
        ...

    @property
    def region_dimension(self) -> int:
        """Length of a box's vector."""
        ...

    @property
    def decoded_side(self) -> int | None:
        """Pixels that are enough of a frame's shorter side; none where all are looked at."""
        ...

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Vectors of each RGB image and of its boxes. Blocks; called in a thread."""
        ...
