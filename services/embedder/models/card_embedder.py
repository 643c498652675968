"""An Embedder whose input and outputs a card describes; it needs no torch itself."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import structlog
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings, MissingWeights
from services.contracts.identity import ModelId
from services.domain.unit_vectors import scaled_to_unit
from services.embedder.embedder import Boxes
from services.embedder.models.checked_file import checked_content
from services.embedder.models.crops import Pixels
from services.embedder.models.map_embedder import CONTEXTS, Decoding, MapEmbedder, RegionEncoder
from services.embedder.models.model_card import MapOutput, ModelCard, read_card
from services.embedder.models.onnx_graph import Graph, open_graph
from services.embedder.models.region_align import region_shares
from services.runtime.settings import Settings

GRID = 7
"""Cells per side of RoIAlign, as in torchvision."""
_REFUSED = re.compile(r'[<>:"/\\|?*]|[\x00-\x1f]')
"""What Qdrant refuses in the name of a collection, which has the model's id in it."""
_MAX_OUTPUT_LENGTH = 100
"""Characters of an output's name that the id takes: a collection's name is a folder's too."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CellMaps:
    """What the network computed of a batch.

    Attributes
    ----------
    cells : (N, height width, C) float32, row by row
    frames : (N, F) float32, not normalised
    """

    cells: NDArray[np.float32]
    height: int
    width: int
    frames: NDArray[np.float32]


class CardEmbedder(MapEmbedder[CellMaps]):
    """Reads frames and regions off the outputs that a card names.

    Parameters
    ----------
    source : first part of the model's id: `onnx` or `timm`
    sha256 : of the network's file, or of its values
    bf16 : whether the graph computes in bfloat16
    """

    def __init__(  # what makes a model
        self,
        graph: Graph,
        card: ModelCard,
        *,
        source: str,
        sha256: str,
        regions: RegionEncoder,
        decoding: Decoding = Decoding.FULL,
        bf16: bool = False,
    ) -> None:
        super().__init__(regions, decoding, card.crop_size)
        self._graph, self._card, self._source, self._bf16 = graph, card, source, bf16
        described = card.model_dump_json(exclude={"name", "licence", "text"})
        self._digest = hashlib.sha256(f"{sha256} {described}".encode()).hexdigest()
        width, height = card.crop_size
        trial = self._trial(width, height)
        self._frame_dimension: int = trial.frames.shape[1]
        self._channels: int = trial.cells.shape[2]

    def _trial(self, width: int, height: int) -> CellMaps:
        """One pass, so that a wrong card is found at the start and not at the first frame."""
        try:
            return self._maps(np.zeros((1, height, width, 3), np.uint8))
        except InvalidSettings:
            raise
        except Exception as exc:  # the runtimes' errors have no common base but this
            raise InvalidSettings(
                f"the network {self._card.name} fails on an image of {width} x {height} pixels, the"
                f" size of a crop in its card: {str(exc).strip()[:300]}"
            ) from exc

    @classmethod
    def of_onnx(cls, settings: Settings) -> Self:
        """The embedder of the ONNX file that the settings name.

        Raises
        ------
        MissingWeights, InvalidSettings
            As from `read_card` and `open_graph`; or a setting does not apply to ONNX files.
        """
        _refuse_others(settings, "an ONNX file", ("auto", "openvino"), ("fp32", "bf16"))
        path, bf16 = Path(settings.embedder), settings.embed_precision == "bf16"
        content = checked_content(path, settings.weights_sha256, "ONNX file", MissingWeights)
        card = read_card(path)
        embedder = cls(
            open_graph(content, card, threads=settings.torch_threads, bf16=bf16),
            card,
            source="onnx",
            sha256=hashlib.sha256(content).hexdigest(),
            regions=RegionEncoder(settings.region_encoder),
            decoding=Decoding(settings.embed_decode),
            bf16=bf16,
        )
        log.info("embedder_chosen", model=embedder.model_id, file=str(path), licence=card.licence)
        return embedder

    @classmethod
    def of_timm(cls, settings: Settings) -> Self:
        """The embedder of timm's network that the settings name.

        Raises
        ------
        MissingWeights, InvalidSettings
            As from `timm_network`; or a setting does not apply to timm's networks.
        """
        _refuse_others(settings, "a network of timm's", ("auto", "torch"), ("fp32",))
        # Imports torch, which an ONNX file does not need.
        from services.embedder.models.timm_graph import timm_network  # noqa: PLC0415

        network = timm_network(settings)
        embedder = cls(
            network.graph,
            network.card,
            source="timm",
            sha256=network.sha256,
            regions=RegionEncoder(settings.region_encoder),
            decoding=Decoding(settings.embed_decode),
        )
        log.info("embedder_chosen", model=embedder.model_id, file=str(settings.weights))
        return embedder

    @property
    def model_id(self) -> ModelId:
        """`source-name-frame-size-regions-dimension-sha`, and `bf16` if that applies."""
        card = self._card
        width, height = card.crop_size
        regions = (
            f"crop{width}x{height}" + "".join(f"x{context:g}" for context in CONTEXTS)
            if self._regions is RegionEncoder.CROP
            else f"roi{GRID}"
        )
        scaled = "" if self.decoded_side is None else "dct"
        # torch names outputs such as /pool/Flatten_output_0. The digest has the whole name.
        frame = _REFUSED.sub("_", card.frame)[:_MAX_OUTPUT_LENGTH]
        parts = (self._source, card.name, frame, f"side{self._frame_side}{scaled}", regions)
        numbers = ("bf16",) if self._bf16 else ()
        sized = (f"{self.region_dimension}d", self._digest[:8])
        return ModelId("-".join((*parts, *sized, *numbers)))

    @property
    def frame_dimension(self) -> int:
        """Of the frame's output."""
        return self._frame_dimension

    @property
    def _aligned_dimension(self) -> int:
        return self._channels

    @property
    def _frame_side(self) -> int:
        return self._card.input.frame_side

    def _input_size(self, width: int, height: int) -> tuple[int, int]:
        return self._card.input.size_of(width, height)

    def _maps(self, pixels: Pixels) -> CellMaps:
        # One image for which a network overflows must not stop the frames next to it.
        outputs = {
            name: np.nan_to_num(array, posinf=0, neginf=0)
            for name, array in self._graph(pixels).items()
        }
        card = self._card
        found = outputs[card.regions.output]
        cells, down, across = self._cells(found, *pixels.shape[1:3])
        if card.frame_output:
            frames = _expect(outputs[card.frame_output], 2, card.frame_output)
        else:
            frames = found[:, 0] if card.frame == "first_token" else cells.mean(axis=1)
        return CellMaps(np.ascontiguousarray(cells), down, across, frames)

    def _cells(
        self, found: NDArray[np.float32], height: int, width: int
    ) -> tuple[NDArray[np.float32], int, int]:
        """(N, H W, C) of the regions' output, and H and W."""
        regions = self._card.regions
        if isinstance(regions, MapOutput):
            _expect(found, 4, regions.output)
            down, across = found.shape[2:]
            return found.reshape(*found.shape[:2], -1).transpose(0, 2, 1), down, across
        _expect(found, 3, regions.output)
        cells = found[:, regions.first_tokens :]
        down, across = height // regions.patch, width // regions.patch
        if cells.shape[1] != down * across:
            raise InvalidSettings(
                f"the network gives {cells.shape[1]} patches for {width} x {height} pixels, and the"
                f" card says {across} x {down}: see its patch and first_tokens"
            )
        return cells, down, across

    def _pooled(self, maps: CellMaps) -> NDArray[np.float32]:
        return scaled_to_unit(maps.frames)

    def _aligned(self, maps: CellMaps, place: int, corners: Boxes) -> NDArray[np.float32]:
        height, width = maps.height, maps.width
        cells = (corners * (width, height, width, height)).astype(np.float32)
        return scaled_to_unit(region_shares(cells, height, width, GRID) @ maps.cells[place])


def _refuse_others(
    settings: Settings, network: str, runtimes: Sequence[str], precisions: Sequence[str]
) -> None:
    """Refuse a runtime or a precision that a network would be computed without."""
    for value, allowed, name in (
        (settings.embed_runtime, runtimes, "GAZELOOP_EMBED_RUNTIME"),
        (settings.embed_precision, precisions, "GAZELOOP_EMBED_PRECISION"),
    ):
        if value not in allowed:
            raise InvalidSettings(f"{name} is {value}; {network} runs with {' or '.join(allowed)}")


def _expect(array: NDArray[np.float32], rank: int, name: str) -> NDArray[np.float32]:
    if array.ndim != rank:
        raise InvalidSettings(
            f"the output {name!r} has the shape {array.shape}; {rank} dimensions are expected"
        )
    return array
