"""An Embedder that runs one of the backbones."""

from typing import Self

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from services.contracts.identity import ModelId
from services.embedder.embedder import Boxes
from services.embedder.models import crops
from services.embedder.models.crops import Pixels
from services.embedder.models.forward import Forward, TorchForward
from services.embedder.models.forward_choice import forward_of
from services.embedder.models.map_embedder import Decoding, MapEmbedder, RegionEncoder
from services.embedder.models.network import Network, load_network
from services.embedder.models.region_align import region_shares
from services.runtime.settings import Settings

log = structlog.get_logger()


class TorchEmbedder(MapEmbedder[Tensor]):
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
        side = network.backbone.crop_side
        super().__init__(regions, decoding, (side, side))
        self._network = network
        self._backbone = network.backbone
        self._forward = forward or TorchForward(network.features, torch.device("cpu"))
        self._head = network.head.to(self._forward.device)

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
        embedder = cls(network, regions, forward_of(network, settings), decoding)
        log.info(
            "embedder_chosen",
            model=embedder.model_id,
            runtime=type(embedder._forward).__name__,
            precision=embedder._forward.precision.value,
            device=str(embedder._forward.device),
            decoded_side=embedder.decoded_side,
        )
        return embedder

    @property
    def model_id(self) -> ModelId:
        """As in `BackboneIdentity.model_id`."""
        return self._network.identity(self._forward.calibrated).model_id(
            self._regions, self._forward.precision, scaled=self.decoded_side is not None
        )

    @property
    def frame_dimension(self) -> int:
        """The head's dimension."""
        return self._head.dimension

    @property
    def _aligned_dimension(self) -> int:
        return self._head.dimension

    @property
    def _frame_side(self) -> int:
        return self._backbone.frame_side

    def _input_size(self, width: int, height: int) -> tuple[int, int]:
        return crops.scaled_size(width, height, self._frame_side, self._backbone.least_side)

    @torch.inference_mode()
    def _maps(self, pixels: Pixels) -> Tensor:
        return self._forward(pixels)

    @torch.inference_mode()
    def _pooled(self, maps: Tensor) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._head(maps).cpu().numpy()
        return vectors

    @torch.inference_mode()
    def _aligned(self, maps: Tensor, place: int, corners: Boxes) -> NDArray[np.float32]:
        mapped = maps[place]
        height, width = mapped.shape[1:]
        cells = (corners * (width, height, width, height)).astype(np.float32)
        if self._head.averages:
            shares = torch.from_numpy(region_shares(cells, height, width, self._head.grid))
            means = shares.to(mapped.device) @ mapped.permute(1, 2, 0).flatten(0, 1)
            vectors = self._head.finished(means)
        else:
            rois = torch.from_numpy(cells).to(mapped.device)
            aligned = roi_align(mapped[None].contiguous(), [rois], self._head.grid, aligned=True)
            vectors = self._head(aligned)
        return np.asarray(vectors.cpu().numpy())
