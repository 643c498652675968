"""An Embedder that runs an exported network by OpenVINO; it needs no torch."""

from pathlib import Path
from typing import Self

import numpy as np
import structlog
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings, MissingWeights
from services.contracts.identity import ModelId
from services.domain.unit_vectors import scaled_to_unit
from services.embedder.embedder import Boxes
from services.embedder.models.crops import Pixels, scaled_size
from services.embedder.models.exported_network import ExportedNetwork, read_exported
from services.embedder.models.map_embedder import Decoding, MapEmbedder, RegionEncoder
from services.embedder.models.openvino_requests import OpenVinoRequests, hint
from services.embedder.models.precision import Precision
from services.embedder.models.region_align import region_shares
from services.runtime.settings import Settings

Maps = NDArray[np.float32]
"""(N, C, H, W)."""
log = structlog.get_logger(__name__)


class ExportedEmbedder(MapEmbedder[Maps]):
    """Computes the vectors of the `TorchEmbedder` whose network was exported, under its model id.

    Parameters
    ----------
    threads : number of cores to use
    """

    def __init__(
        self,
        exported: ExportedNetwork,
        regions: RegionEncoder,
        precision: Precision,
        *,
        threads: int,
        decoding: Decoding = Decoding.FULL,
    ) -> None:
        identity = exported.identity
        super().__init__(regions, decoding, (identity.crop_side, identity.crop_side))
        self._exported, self._identity, self._precision = exported, identity, precision
        model = exported.network.model(MissingWeights)
        self._run = OpenVinoRequests(model, hint(precision), threads)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The embedder of the exported network that the settings name.

        Raises
        ------
        MissingWeights
            As from `read_exported`.
        InvalidSettings
            A setting does not apply to this network.
        """
        path = Path(settings.embedder)
        exported = read_exported(path, settings.weights_sha256)
        if settings.embed_runtime not in ("auto", "openvino"):
            raise InvalidSettings(
                f"GAZELOOP_EMBED_RUNTIME is {settings.embed_runtime}; OpenVINO alone runs an"
                " exported network: set it to auto or openvino"
            )
        embedder = cls(
            exported,
            RegionEncoder(settings.region_encoder),
            _precision(exported, settings),
            threads=settings.torch_threads,
            decoding=Decoding(settings.embed_decode),
        )
        log.info("embedder_chosen", model=embedder.model_id, file=str(path))
        return embedder

    @property
    def model_id(self) -> ModelId:
        """As in `BackboneIdentity.model_id`."""
        scaled = self.decoded_side is not None
        return self._identity.model_id(self._regions, self._precision, scaled=scaled)

    @property
    def frame_dimension(self) -> int:
        """The dimension in the network's identity."""
        return self._identity.dimension

    @property
    def _aligned_dimension(self) -> int:
        return self._identity.dimension

    @property
    def _frame_side(self) -> int:
        return self._identity.frame_side

    def _input_size(self, width: int, height: int) -> tuple[int, int]:
        return scaled_size(width, height, self._frame_side, self._exported.least_side)

    def _maps(self, pixels: Pixels) -> Maps:
        (maps,) = self._run(pixels)
        return maps

    def _pooled(self, maps: Maps) -> NDArray[np.float32]:
        return self._finished(maps.mean(axis=(2, 3)))

    def _aligned(self, maps: Maps, place: int, corners: Boxes) -> NDArray[np.float32]:
        mapped = maps[place]
        height, width = mapped.shape[1:]
        cells = (corners * (width, height, width, height)).astype(np.float32)
        shares = region_shares(cells, height, width, self._identity.grid)
        return self._finished(shares @ mapped.reshape(len(mapped), -1).T)

    def _finished(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C) averages to (N, D), of unit length."""
        vectors = scaled_to_unit(pooled)
        whitening = self._exported.whitening
        if whitening is None:
            return vectors
        whitened = (vectors - whitening.mean) @ whitening.projection.T
        return scaled_to_unit(np.asarray(whitened, np.float32))


def _precision(exported: ExportedNetwork, settings: Settings) -> Precision:
    """The precision that the network was exported in, or bf16 for one in full precision."""
    wanted = Precision(settings.embed_precision)
    if exported.identity.calibrated:
        return Precision.INT8
    if wanted is Precision.INT8:
        raise InvalidSettings(
            f"GAZELOOP_EMBED_PRECISION is int8, and {settings.embedder} is in full precision:"
            " export it with the same setting and GAZELOOP_EMBED_INT8"
        )
    return wanted
