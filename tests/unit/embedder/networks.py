"""Backbones with weights that cost no time to draw: tests look at wiring, not at quality."""

import dataclasses
import math

import torch
from torch import nn

from services.embedder.models.backbones import Backbone, backbone_named


def untrained(backbone: Backbone, seed: int = 0) -> nn.Module:
    """Built without its own initialisation, which takes seconds for the large ones."""
    with torch.device("meta"):
        model = backbone.build()
    return drawn(model, seed)


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """Uniform weights that keep a layer's scale; normalisation does nothing."""
    random = torch.Generator().manual_seed(seed)
    model = model.to_empty(device="cpu").eval()
    for name, tensor in model.state_dict().items():
        if tensor.dim() > 1:
            bound = math.sqrt(6 / tensor[0].numel())
            tensor.uniform_(-bound, bound, generator=random)
        elif tensor.is_floating_point():
            tensor.fill_(1.0 if name.endswith(("weight", "running_var")) else 0.0)
        else:
            tensor.zero_()
    return model


def small_sided(name: str) -> Backbone:
    """The backbone, looking at fewer pixels than it should, which is quicker."""
    backbone = backbone_named(name)
    side = 64 if name == "alexnet" else 32
    return dataclasses.replace(backbone, frame_side=2 * side, crop_side=side, least_side=side)
