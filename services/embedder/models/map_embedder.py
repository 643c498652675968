"""Embeds images and boxes by a network that turns pixels into maps, whatever runs it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from services.contracts.identity import ModelId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.models import crops
from services.embedder.models.crops import Pixels
from services.runtime.progress import report_progress

CONTEXTS = (1.0, 2.0)
"""For each of a region's crops, its width and height as a multiple of the box's."""
_CROPS_PER_PASS = 64
_ALIGNED_AT_ONCE = 512
"""Boxes per call of RoIAlign; each needs 100 kB while its cells are sampled."""
_DECODED_SIDE = 512
"""Pixels of a frame's shorter side: decoded at half of 1,080 lines, its scaled pixels differ by
less than half a step of 255 (docs/embedding.md)."""
Maps = TypeVar("Maps")
"""What a network computes of a batch of images."""


class RegionEncoder(StrEnum):
    """How a box is encoded as a vector."""

    ROI = "roi"
    """RoIAlign on the frame's own map, without another forward pass."""
    CROP = "crop"
    """Two crops per box, of the box and of twice its size, each with its own forward pass. The two
    vectors are concatenated, so that a cosine is the mean of both cosines."""


class Decoding(StrEnum):
    """The resolution at which frames are decoded."""

    SCALED = "scaled"
    """As much as needed: JPEG decoders scale by 1/2, 1/4 and 1/8 at less cost."""
    FULL = "full"


class MapEmbedder(ABC, Generic[Maps]):
    """Scales images, cuts or aligns regions, and gathers the vectors of a network.

    Parameters
    ----------
    crop_size : width and height of a crop in pixels
    decoding : resolution of the frames that the caller will pass
    """

    def __init__(
        self, regions: RegionEncoder, decoding: Decoding, crop_size: tuple[int, int]
    ) -> None:
        self._regions = regions
        self._decoding = decoding
        self._crop_size = crop_size

    @property
    @abstractmethod
    def model_id(self) -> ModelId:
        """Id of everything that affects the vectors."""

    @property
    @abstractmethod
    def frame_dimension(self) -> int:
        """Length of the vector of an image, or of a crop."""

    @property
    @abstractmethod
    def _aligned_dimension(self) -> int:
        """Length of the vector of a region on a map."""

    @property
    @abstractmethod
    def _frame_side(self) -> int:
        """Pixels of a scaled frame's longer side."""

    @abstractmethod
    def _input_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which the network wants an image of this size scaled."""

    @abstractmethod
    def _maps(self, pixels: Pixels) -> Maps:
        """The maps of (N, H, W, 3) uint8 RGB."""

    @abstractmethod
    def _pooled(self, maps: Maps) -> NDArray[np.float32]:
        """(N, F), of unit length."""

    @abstractmethod
    def _aligned(self, maps: Maps, place: int, corners: Boxes) -> NDArray[np.float32]:
        """(M, R), of unit length: the regions of one image on its map.

        Parameters
        ----------
        place : the image's place in the batch
        corners : (M, 4), [left, top, right, bottom], each a share of the image's extent
        """

    @property
    def decoded_side(self) -> int | None:
        """Pixels of a frame's shorter side that suffice; None for full resolution.

        Crops need full resolution, because boxes are often smaller than a crop's input size.
        """
        if self._decoding is Decoding.FULL or self._regions is RegionEncoder.CROP:
            return None
        return max(_DECODED_SIDE, self._frame_side)

    @property
    def region_dimension(self) -> int:
        """Of a region on the frame's map; or the crops' lengths together."""
        if self._regions is RegionEncoder.CROP:
            return len(CONTEXTS) * self.frame_dimension
        return self._aligned_dimension

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Compute the vectors of each RGB image and of its boxes."""
        if not images:
            return []
        sizes = [self._input_size(*image.size) for image in images]
        frames = np.empty((len(images), self.frame_dimension), np.float32)
        regions = [np.empty((len(box), self.region_dimension), np.float32) for box in boxes]
        for size in sorted(set(sizes)):
            group = [place for place, item in enumerate(sizes) if item == size]
            maps = self._maps(np.stack([crops.scale(images[place], size) for place in group]))
            frames[group] = self._pooled(maps)
            if self._regions is RegionEncoder.ROI:
                for at, place in enumerate(group):
                    regions[place] = self._on_map(maps, at, boxes[place], images[place].size)
        if self._regions is RegionEncoder.CROP:
            regions = self._from_crops(images, boxes)
        return [FrameVectors(frame, region) for frame, region in zip(frames, regions, strict=True)]

    def _on_map(
        self, maps: Maps, place: int, boxes: Boxes, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        # Each axis by itself, because scaling may change the aspect ratio.
        starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        corners = np.concatenate([(array / size).clip(0, 1) for array in (starts, ends)], 1)
        parts = [
            self._aligned(maps, place, corners[start : start + _ALIGNED_AT_ONCE])
            for start in range(0, len(corners), _ALIGNED_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.region_dimension), np.float32)

    def _from_crops(
        self, images: Sequence[Image], boxes: Sequence[Boxes]
    ) -> list[NDArray[np.float32]]:
        placed = [
            (image, box)
            for image, array in zip(images, boxes, strict=True)
            for box in array.tolist()
        ]
        looks, dimension = len(CONTEXTS), self.frame_dimension
        joined = np.empty((len(placed), looks, dimension), np.float32)
        # Crop pass by pass: all crops of 10,000 boxes would take more than a gigabyte.
        for look, context in enumerate(CONTEXTS):
            for start in range(0, len(placed), _CROPS_PER_PASS):
                part = slice(start, start + _CROPS_PER_PASS)
                pixels = crops.cut_all(placed[part], context, self._crop_size)
                joined[part, look] = self._pooled(self._maps(pixels))
                report_progress()
        joined /= np.float32(np.sqrt(looks))
        vectors = joined.reshape(len(placed), looks * dimension)
        return np.split(vectors, np.cumsum([len(array) for array in boxes])[:-1])
