"""The interface of an embedding model: images and boxes in, vectors out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from services.contracts.identity import ModelId
from services.domain.arrays import Vector

Boxes = NDArray[np.float64]
"""(N, 4), [x, y, width, height] in pixels of its image."""


@dataclass(frozen=True)
class FrameVectors:
    """The vectors of one image: float32 and of unit length.

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
        """Id of everything that affects the vectors; only vectors of one id are comparable."""
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
        """Pixels of a frame's shorter side that suffice; None for full resolution."""
        ...

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Compute the vectors of each RGB image and of its boxes. Blocks; call it in a thread."""
        ...
