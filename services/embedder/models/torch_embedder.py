"""An Embedder that runs a network."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torchvision.ops import roi_align

from services.contracts.identity import ModelId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.models import crops
from services.embedder.models.forward import Forward, Precision, TorchForward
from services.embedder.models.forward_choice import forward_of
from services.embedder.models.network import Network, load_network
from services.embedder.models.region_align import region_means
from services.runtime.progress import report_progress
from services.runtime.settings import Settings

CONTEXTS = (1.0, 2.0)
"""For each of a region's crops, its width and height as a multiple of the box's."""
_CROPS_PER_PASS = 64
_ALIGNED_AT_ONCE = 512
"""Boxes per call of RoIAlign; each needs 100 kB while its cells are sampled."""
_DECODED_SIDE = 512
"""Pixels of a frame's shorter side: decoded at half of 1,080 lines, its scaled pixels differ by
less than half a step of 255 (docs/embedding.md)."""
log = structlog.get_logger()


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


class TorchEmbedder:
    """Combines a network, an encoder of regions, and a runtime for the network's map.

    Parameters
    ----------
    forward : computes the map; torch in full precision by default
    decoding : resolution of the frames that the caller will pass
    """

    def __init__(
        self,
        network: Network,
        regions: RegionEncoder,
        forward: Forward | None = None,
        decoding: Decoding = Decoding.FULL,
    ) -> None:
        self._network = network
        self._backbone = network.backbone
        self._regions = regions
        self._forward = forward or TorchForward(network.features, torch.device("cpu"))
        self._head = network.head.to(self._forward.device)
        self._decoding = decoding

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The embedder in the settings, with its weights.

        Raises
        ------
        MissingWeights, InvalidSettings, UnfitInt8
            As from `load_network` and `forward_of`.
        """
        network = load_network(settings)
        torch.set_num_threads(settings.torch_threads)
        regions, decoding = RegionEncoder(settings.region_encoder), Decoding(settings.embed_decode)
        made = cls(network, regions, forward_of(network, settings), decoding)
        log.info(
            "embedder_chosen",
            model=made.model_id,
            runtime=type(made._forward).__name__,
            precision=made._forward.precision.value,
            device=str(made._forward.device),
            decoded_side=made.decoded_side,
        )
        return made

    @property
    def decoded_side(self) -> int | None:
        """Pixels of a frame's shorter side that suffice; None for full resolution.

        Crops need full resolution, because boxes are often smaller than a crop's input size.
        """
        if self._decoding is Decoding.FULL or self._regions is RegionEncoder.CROP:
            return None
        return max(_DECODED_SIDE, self._backbone.frame_side)

    @property
    def model_id(self) -> ModelId:
        """`name-tap-pooling-side-regions-normalisation-dimension-sha`, with optional parts.

        `dct` after the side marks frames decoded at a smaller scale. A precision other than fp32
        comes last, followed by the digest of the int8 network.
        """
        one = self._network
        regions = (
            f"crop{self._backbone.crop_side}" + "".join(f"x{context:g}" for context in CONTEXTS)
            if self._regions is RegionEncoder.CROP
            else f"roi{self._head.grid}"
        )
        scaled = "" if self.decoded_side is None else "dct"
        side = f"side{self._backbone.frame_side}{scaled}"
        parts = (self._backbone.name, one.tap, one.pooling.value, side, regions, crops.NORMALISED)
        whitened = ("whitened",) if self._head.whitens else ()
        precision, calibrated = self._forward.precision, self._forward.calibrated
        numbers = () if precision is Precision.FP32 else (precision.value,)
        quantised = (calibrated[:8],) if calibrated else ()
        sized = (f"{self._head.dimension}d", one.sha256[:8])
        return ModelId("-".join((*parts, *whitened, *sized, *numbers, *quantised)))

    @property
    def frame_dimension(self) -> int:
        """The head's dimension."""
        return self._head.dimension

    @property
    def region_dimension(self) -> int:
        """The head's dimension times the number of crops per region."""
        looks = len(CONTEXTS) if self._regions is RegionEncoder.CROP else 1
        return looks * self._head.dimension

    @torch.inference_mode()
    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Compute the vectors of each RGB image and of its boxes."""
        if not images:
            return []
        one = self._backbone
        sizes = [crops.scaled_size(*image.size, one.frame_side, one.least_side) for image in images]
        frames = np.empty((len(images), self.frame_dimension), np.float32)
        regions = [np.empty((len(box), self.region_dimension), np.float32) for box in boxes]
        for size in sorted(set(sizes)):
            group = [place for place, item in enumerate(sizes) if item == size]
            mapped = self._frame_maps([images[place] for place in group], size)
            frames[group] = self._vectors(mapped)
            if self._regions is RegionEncoder.ROI:
                for place, item in zip(group, mapped, strict=True):
                    regions[place] = self._on_map(item, boxes[place], images[place].size)
        if self._regions is RegionEncoder.CROP:
            regions = self._from_crops(images, boxes)
        return [FrameVectors(frame, region) for frame, region in zip(frames, regions, strict=True)]

    def _frame_maps(self, images: Sequence[Image], size: tuple[int, int]) -> Tensor:
        pixels = np.stack([crops.scale(image, size) for image in images])
        return self._forward(pixels)

    def _on_map(self, mapped: Tensor, boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
        parts = [
            self._aligned(mapped, boxes[start : start + _ALIGNED_AT_ONCE], size)
            for start in range(0, len(boxes), _ALIGNED_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.region_dimension), np.float32)

    def _aligned(self, mapped: Tensor, boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
        # Scale each axis separately to map cells, because scaling may change the aspect ratio.
        extent = np.array([mapped.shape[2], mapped.shape[1]], np.float64)
        starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        corners = np.concatenate(
            [(array / size * extent).clip(0, extent) for array in (starts, ends)], 1
        )
        rois = torch.from_numpy(corners.astype(np.float32)).to(mapped.device)
        if self._head.averages:
            vectors = self._head.finished(region_means(mapped, rois, self._head.grid))
        else:
            cells = roi_align(mapped[None].contiguous(), [rois], self._head.grid, aligned=True)
            vectors = self._head(cells)
        return np.asarray(vectors.cpu().numpy())

    def _from_crops(
        self, images: Sequence[Image], boxes: Sequence[Boxes]
    ) -> list[NDArray[np.float32]]:
        placed = [
            (image, box)
            for image, array in zip(images, boxes, strict=True)
            for box in array.tolist()
        ]
        looks, dimension = len(CONTEXTS), self._head.dimension
        joined = np.empty((len(placed), looks, dimension), np.float32)
        # Crop pass by pass: all crops of 10,000 boxes would take more than a gigabyte.
        for look, context in enumerate(CONTEXTS):
            for start in range(0, len(placed), _CROPS_PER_PASS):
                part = slice(start, start + _CROPS_PER_PASS)
                pixels = crops.cut_all(placed[part], context, self._backbone.crop_side)
                joined[part, look] = self._vectors(self._forward(pixels))
                report_progress()
        joined /= np.float32(np.sqrt(looks))
        vectors = joined.reshape(len(placed), looks * dimension)
        return np.split(vectors, np.cumsum([len(array) for array in boxes])[:-1])

    def _vectors(self, mapped: Tensor) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._head(mapped).cpu().numpy()
        return vectors
