"""Training objectives: a network with a loss, and layers that only training needs."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.models.backbones import Backbone
from services.embedder.models.network import Head
from services.embedder.models.pooling import Pooling
from services.embedder.training.recipes import Recipe, TrainingTask


class Objective(nn.Module, ABC):
    """The features, the head, and a loss on their output."""

    def __init__(self, backbone: Backbone, model: nn.Module, method: Pooling) -> None:
        super().__init__()
        self.features = backbone.features(model)
        self.head = Head(backbone, model, method, None)

    @abstractmethod
    def loss(self, pixels: Tensor, picture: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch.

        Parameters
        ----------
        pixels : (N, 3, S, S), normalised
        picture : (N, 3, S, S), the same in [0, 1]
        labels : (N,) int64
        """

    def vectors(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S), normalised, to (N, D), of unit length or zero."""
        found: Tensor = self.head(self.features(pixels))
        return found


class Reconstruction(Objective):
    """Reconstruct the input, maybe from a partly zeroed one."""

    def __init__(self, backbone: Backbone, model: nn.Module, method: Pooling, noise: float) -> None:
        super().__init__(backbone, model, method)
        self.decoder = model.get_submodule("decoder")
        self._noise = noise
        self._from_vector = backbone.tap == "pixels"

    def loss(self, pixels: Tensor, picture: Tensor, labels: Tensor) -> Tensor:
        del labels
        if self._noise:
            pixels = pixels * (torch.rand_like(pixels) >= self._noise)
        mapped = self.features(pixels)
        code = self.head.pooled(mapped) if self._from_vector else mapped
        return functional.mse_loss(self.decoder(code), picture)


class Classification(Objective):
    """Predict the label."""

    def __init__(self, backbone: Backbone, model: nn.Module, method: Pooling, labels: int) -> None:
        super().__init__(backbone, model, method)
        self.classifier = nn.Linear(self.head.dimension, labels)

    def loss(self, pixels: Tensor, picture: Tensor, labels: Tensor) -> Tensor:
        del picture
        logits = self.classifier(self.head.pooled(self.features(pixels)))
        return functional.cross_entropy(logits, labels)


def objective_of(
    backbone: Backbone, model: nn.Module, method: Pooling, recipe: Recipe, labels: int
) -> Objective:
    """The objective of a recipe; all parameters are trainable."""
    objective: Objective = (
        Reconstruction(backbone, model, method, recipe.noise)
        if recipe.task is TrainingTask.RECONSTRUCT
        else Classification(backbone, model, method, labels)
    )
    return objective.requires_grad_(requires_grad=True)
