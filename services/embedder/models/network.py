"""A network: a backbone with weights, and the head that turns its map into vectors."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from services.contracts.errors import InvalidSettings
from services.embedder.models import pooling, weights
from services.embedder.models.backbone_identity import BackboneIdentity
from services.embedder.models.backbones import Backbone, backbone_named
from services.embedder.models.pooling import Pooling
from services.embedder.models.whitening import Whitening
from services.runtime.settings import Settings


class Head(nn.Module):
    """Turns a map, or a region's cells on it, into a vector of unit length.

    Attributes
    ----------
    grid : cells per side for RoIAlign
    averages : whether the head needs only the mean of these cells
    """

    mean: Tensor
    projection: Tensor

    def __init__(
        self, backbone: Backbone, model: nn.Module, method: Pooling, whitening: Whitening | None
    ) -> None:
        super().__init__()
        neck = backbone.neck if method is Pooling.PENULTIMATE else None
        self._pooling = method
        self._neck_grid = neck.grid if neck else 0
        self.grid = max(self._neck_grid, pooling.GRID)
        self.neck = neck.layers(model) if neck else None
        self.averages = neck is None and method is Pooling.AVERAGE
        self.dimension = neck.channels if neck else pooling.dimension(backbone.channels, method)
        self.whitens = whitening is not None
        if whitening is not None:
            if len(whitening.mean) != self.dimension:
                raise InvalidSettings(
                    f"the whitening is of vectors of {len(whitening.mean)} dimensions, and"
                    f" {backbone.name} gives {self.dimension}"
                )
            self.dimension = len(whitening.projection)
            self.register_buffer("mean", torch.from_numpy(whitening.mean))
            self.register_buffer("projection", torch.from_numpy(whitening.projection))

    def pooled(self, mapped: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D), neither normalised nor whitened."""
        if self.neck is None:
            return pooling.pool(mapped, self._pooling)
        pooled: Tensor = self.neck(_flat(adaptive_avg_pool2d(mapped, self._neck_grid)))
        return pooled

    def forward(self, mapped: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D), of unit length."""
        return self.finished(self.pooled(mapped))

    def finished(self, pooled: Tensor) -> Tensor:
        """(N, C) pooled vectors to (N, D), of unit length."""
        vectors = normalize(pooled)
        if self.whitens:
            vectors = normalize((vectors - self.mean) @ self.projection.T)
        return vectors


def _flat(cells: Tensor) -> Tensor:
    return cells.contiguous().flatten(1)


@dataclass(frozen=True)
class Network:
    """A backbone's features and its head.

    Attributes
    ----------
    pooling : resolved, so never `penultimate` if that is the average
    sha256 : of all values that affect the vectors, independent of the file's format
    """

    backbone: Backbone
    pooling: Pooling
    features: nn.Module
    head: Head
    sha256: str

    @property
    def tap(self) -> str:
        """Name of the layer whose output becomes the vectors."""
        neck = self.backbone.neck
        return neck.tap if neck and self.pooling is Pooling.PENULTIMATE else self.backbone.tap

    def identity(self, calibrated: str = "") -> BackboneIdentity:
        """What identifies the network's vectors.

        Parameters
        ----------
        calibrated : sha256 of the int8 network; empty if it is not quantised
        """
        return BackboneIdentity(
            backbone=self.backbone.name,
            tap=self.tap,
            pooling=self.pooling.value,
            frame_side=self.backbone.frame_side,
            crop_side=self.backbone.crop_side,
            grid=self.head.grid,
            whitened=self.head.whitens,
            dimension=self.head.dimension,
            sha256=self.sha256,
            calibrated=calibrated,
        )


def network_of(
    backbone: Backbone, model: nn.Module, method: Pooling, whitening: Whitening | None = None
) -> Network:
    """Make a network of a built model, in evaluation mode.

    Raises
    ------
    InvalidSettings
        The backbone has no map to pool, or the whitening has another dimension.
    """
    method = resolved(backbone, method)
    head = Head(backbone, model, method, whitening).eval().requires_grad_(requires_grad=False)
    features = backbone.features(model).eval().requires_grad_(requires_grad=False)
    return Network(backbone, method, features, head, weights.digest(features, head))


def resolved(backbone: Backbone, method: Pooling) -> Pooling:
    """The pooling in effect: `penultimate` means `average` for a network without a neck.

    Raises
    ------
    InvalidSettings
        The backbone has no map to pool.
    """
    if backbone.neck is None:
        return Pooling.AVERAGE if method is Pooling.PENULTIMATE else method
    if backbone.tap == "pixels" and method is not Pooling.PENULTIMATE:
        raise InvalidSettings(
            f"{backbone.name} has no map that {method} could pool: set GAZELOOP_POOLING=penultimate"
        )
    return method


def load_network(settings: Settings) -> Network:
    """The network in the settings, with its weights.

    Raises
    ------
    MissingWeights, InvalidSettings
        As from `load_backbone`, `backbone_named` and `resolved`.
    """
    backbone = backbone_named(settings.embedder)
    method = resolved(backbone, Pooling(settings.pooling))
    loaded = weights.load_backbone(backbone, settings.weights, settings.weights_sha256, method)
    return network_of(backbone, loaded.model, method, loaded.whitening)
