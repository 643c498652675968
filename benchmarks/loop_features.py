"""The trunk of the closed loop's detector, and its features of a data set.

SqueezeNet has the embedder's ImageNet weights. Its feature maps are computed once per data set, so
that training a head on them takes seconds.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.loop_frames import LoopSet
from services.embedder.models.weights import read_weights

PIXELS: Final = 320
"""By default, the side of the square that every image is resized to."""
STRIDE: Final = 8
OFFSET: Final = 9.0
"""Where the first cell of stride 8 is centred, in pixels: the trunk's convolutions do not pad."""
DIMENSIONS: Final = 64
"""Principal components that are kept of either stride."""
WEIGHTS: Final = (
    Path(__file__).parents[1] / "services/embedder/models/weights/squeezenet1_0.safetensors"
)
_FINE, _COARSE = 10, 12
"""The trunk's layers with strides 8 and 16, of 512 channels each."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as torchvision normalises."""
_MIN_SCALE: Final = 1e-6
"""Of a component, where a data set has fewer than there are."""


class Trunk(nn.Module):
    """SqueezeNet 1.0 up to its last fire module; returns stride 8 and 16 joined on stride 8."""

    def __init__(self) -> None:
        super().__init__()
        features = torchvision.models.squeezenet1_0().features
        state = read_weights(WEIGHTS, "")
        own = {
            name.removeprefix("features."): value
            for name, value in state.items()
            if name.startswith("features.")
        }
        features.load_state_dict(own)
        self.layers = features

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1024, cells, cells) float32 of (B, 3, pixels, pixels) float32."""
        fine = self.layers[: _FINE + 1](images)
        coarse = self.layers[_FINE + 1 : _COARSE + 1](fine)
        size = fine.shape[-2:]
        spread = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        return torch.cat([fine, spread], dim=1)


def resized(path: Path, pixels: int) -> Tensor:
    """(3, pixels, pixels) float32, normalised."""
    image = Image.open(path).convert("RGB").resize((pixels, pixels), Image.Resampling.BILINEAR)
    values = (np.asarray(image, np.float32) / 255 - _MEAN) / _DEVIATION
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)


@dataclass(frozen=True)
class Grid:
    """The trunk's cells on an image.

    Attributes
    ----------
    pixels : side of the square that the image is resized to
    side : cells per row and column
    """

    pixels: int
    side: int


@dataclass(frozen=True)
class FeatureMaps:
    """The frozen trunk's features of all frames of a data set.

    Attributes
    ----------
    cells : (F, side * side, D) float16, on disk
    vectors : (F, D) float32, unit length, of whole frames
    """

    cells: np.ndarray
    vectors: np.ndarray
    grid: Grid


def feature_maps(
    data: LoopSet, folder: Path, pixels: int = PIXELS, dimensions: int = DIMENSIONS
) -> FeatureMaps:
    """Compute the features of a data set, or open those that were computed before.

    Parameters
    ----------
    folder : of the cache
    pixels : side of the square that every image is resized to
    dimensions : principal components that are kept of either stride
    """
    names = "".join(frame.frame_id for frame in data.frames)
    key = hashlib.sha256(f"{names} {pixels} {dimensions}".encode()).hexdigest()[:16]
    path = folder / f"{data.name}-{key}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft.npy")
        _write_maps(data, draft, pixels, dimensions)
        draft.replace(path)
    cells = np.load(path, mmap_mode="r")
    pooled = np.stack([np.asarray(cell, np.float32).mean(axis=0) for cell in cells])
    pooled -= pooled.mean(axis=0)
    vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return FeatureMaps(cells, vectors, Grid(pixels, round(cells.shape[1] ** 0.5)))


@torch.inference_mode()
def _write_maps(data: LoopSet, path: Path, pixels: int, dimensions: int) -> None:
    trunk = Trunk().eval()
    projection = components(data, trunk, pixels, dimensions)
    first = projection(_flat(trunk, data.path(0), pixels))
    cells = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(len(data.frames), *first.shape)
    )
    for frame in range(len(data.frames)):
        cells[frame] = projection(_flat(trunk, data.path(frame), pixels)).numpy()
    cells.flush()


@torch.no_grad()
def components(
    data: LoopSet, trunk: Trunk, pixels: int, dimensions: int = DIMENSIONS
) -> "Components":
    """Principal components of the trunk's features on at most 100 frames of a data set."""
    sample = np.random.default_rng(0).permutation(len(data.frames))[:100]
    cells = [_flat(trunk, data.path(frame), pixels)[::7] for frame in sample.tolist()]
    return Components.of(torch.cat(cells), dimensions)


def _flat(trunk: Trunk, path: Path, pixels: int) -> Tensor:
    """(side * side, 1024), cells row by row."""
    maps: Tensor = trunk(resized(path, pixels)[None])
    return maps[0].flatten(1).T


@dataclass(frozen=True)
class Components:
    """Principal components of either stride, scaled to unit variance in the first of each."""

    means: tuple[Tensor, Tensor]
    bases: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, sample: Tensor, dimensions: int) -> "Components":
        means, bases = [], []
        for part in sample.chunk(2, dim=1):
            mean = part.mean(dim=0)
            values, vectors = torch.linalg.eigh(torch.cov((part - mean).T))
            deviation = values.flip(0)[:dimensions].clamp(min=0).sqrt()
            means.append(mean)
            # Between raw and whitened: raw lets few components dominate, whitened lifts noise.
            scale = (deviation * deviation[0]).sqrt().clamp(min=_MIN_SCALE)
            bases.append(vectors.flip(1)[:, :dimensions] / scale)
        return cls((means[0], means[1]), (bases[0], bases[1]))

    @property
    def width(self) -> int:
        """Components of both strides."""
        return sum(basis.shape[1] for basis in self.bases)

    def __call__(self, cells: Tensor) -> Tensor:
        """(..., width) of (..., 1024)."""
        parts = zip(cells.chunk(2, dim=-1), self.means, self.bases, strict=True)
        return torch.cat([(part - mean) @ basis for part, mean, basis in parts], dim=-1) * 2
