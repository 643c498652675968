"""Embedders to measure: by name, with default weights, a file's, or random ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image, fromarray

from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.embedder.embedder import Boxes, Embedder, FrameVectors
from services.embedder.models.backbones import BY_NAME, backbone_named
from services.embedder.models.crops import cut
from services.embedder.models.forward_choice import forward_of
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import load_network, network_of
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings

HISTOGRAM = "hsv-histogram"
RANDOM = "random"
_BINS = (8, 4, 4)
_SIDE = 64


@dataclass(frozen=True)
class Choice:
    """`NAME`, `NAME=FILE` or `NAME@random`."""

    name: str
    weights: Path | None = None
    random: bool = False

    @classmethod
    def parse(cls, text: str) -> "Choice":
        """Parse the embedder's name.

        Raises
        ------
        InvalidSettings
            There is no such embedder.
        """
        name, equals, file = text.partition("=")
        name, at, kind = name.partition("@")
        if at and (kind != RANDOM or equals):
            raise InvalidSettings(f"{text!r} is not NAME, NAME=FILE or NAME@random")
        if name == HISTOGRAM and not equals and not at:
            return cls(name)
        backbone_named(name)
        return cls(name, Path(file) if equals else None, random=bool(at))

    @property
    def title(self) -> str:
        """The embedder's name in tables."""
        kind = RANDOM if self.random else self.weights and self.weights.name
        return f"{self.name} ({kind})" if kind else self.name

    @property
    def stem(self) -> str:
        """The prefix of its montages' file names."""
        kind = RANDOM if self.random else self.weights and self.weights.stem
        return f"{self.name}-{kind}" if kind else self.name


def embedder_of(choice: Choice, settings: Settings, side: int | None) -> Embedder:
    """The embedder, with the settings' pooling and region encoder.

    Parameters
    ----------
    side : input side for letterboxed frames; None for the embedder's default

    Raises
    ------
    MissingWeights, InvalidSettings
        As from `load_network`.
    """
    if choice.name == HISTOGRAM:
        return HsvHistogram()
    backbone = BY_NAME[choice.name]
    if choice.random:
        torch.manual_seed(0)
        network = network_of(backbone, backbone.build(), Pooling(settings.pooling))
    else:
        is_other = choice.name != settings.embedder
        weights = choice.weights or (None if is_other else settings.weights)
        sha = "" if is_other or choice.weights else settings.weights_sha256
        named = {"embedder": choice.name, "weights": weights, "weights_sha256": sha}
        network = load_network(settings.model_copy(update=named))
    if side is not None:
        network = replace(network, backbone=replace(backbone, frame_side=side))
    torch.set_num_threads(settings.torch_threads)
    forward = forward_of(network, settings)
    return TorchEmbedder(network, RegionEncoder(settings.region_encoder), forward)


class HsvHistogram:
    """Hue, saturation and value in 8 by 4 by 4 bins, as square roots, so that a cosine is
    Bhattacharyya's coefficient: what any network must beat.
    """

    model_id = ModelId("hsv-histogram-8x4x4")
    frame_dimension = region_dimension = int(np.prod(_BINS))
    decoded_side: int | None = None

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        return [
            FrameVectors(
                _histogram(image),
                np.array([_of_box(image, box) for box in array], np.float32).reshape(
                    -1, self.region_dimension
                ),
            )
            for image, array in zip(images, boxes, strict=True)
        ]


def _of_box(image: Image, box: Sequence[float]) -> NDArray[np.float32]:
    return _histogram(fromarray(cut(image, box, 1.0, (_SIDE, _SIDE))))


def _histogram(image: Image) -> NDArray[np.float32]:
    values = np.asarray(image.convert("HSV")).reshape(-1, 3)
    counts, _ = np.histogramdd(values, _BINS, [(0, 256)] * 3)
    shares: NDArray[np.float64] = counts.reshape(-1) / counts.sum()
    return np.sqrt(shares).astype(np.float32)
