"""The networks of the two reports that are trained from scratch."""

from itertools import pairwise

import torch
import torchvision.models
from torch import Tensor, nn

DENSE_SIDE = 64
DENSE_HIDDEN = 256
_DENSE_BETWEEN = 1024
CONVOLVED = (32, 64, 128)
_STEM, _GROWTHS, _NARROW = 64, (192, 768), 128
MINI_DENSENET_CHANNELS = _STEM + sum(_GROWTHS)
"""1,024, as in the report."""


class VanillaAutoencoder(nn.Module):
    """Fully connected on 64 by 64 pixels; its code is the hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        pixels = 3 * DENSE_SIDE**2
        self.encoder = nn.Sequential(
            nn.Linear(pixels, _DENSE_BETWEEN), nn.ReLU(), nn.Linear(_DENSE_BETWEEN, DENSE_HIDDEN)
        )
        self.decoder = nn.Sequential(
            nn.ReLU(),
            nn.Linear(DENSE_HIDDEN, _DENSE_BETWEEN),
            nn.ReLU(),
            nn.Linear(_DENSE_BETWEEN, pixels),
            nn.Sigmoid(),
            nn.Unflatten(1, (3, DENSE_SIDE, DENSE_SIDE)),
        )


class ConvolutionalAutoencoder(nn.Module):
    """Three convolutions, each with max pooling by 2, and three transposed convolutions.

    The DenoisingAE is the same network, trained on partly zeroed inputs. Batch normalisation
    prevents the code's collapse to zero, which the report's network suffered.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = (3, *CONVOLVED)
        self.encoder = nn.Sequential(
            *(layer for inputs, outputs in pairwise(sizes) for layer in _halving(inputs, outputs))
        )
        back = (*reversed(CONVOLVED), 3)
        self.decoder = nn.Sequential(
            *(
                layer
                for inputs, outputs in pairwise(back)
                for layer in (nn.ConvTranspose2d(inputs, outputs, 2, stride=2), nn.ReLU())
            )
        )
        self.decoder[-1] = nn.Sigmoid()


def _halving(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )


class _Bottleneck(nn.Module):
    """Batch normalisation, ReLU and convolution, first 1 by 1, then 3 by 3, joined to its input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, _NARROW, 1, bias=False),
            nn.BatchNorm2d(_NARROW),
            nn.ReLU(),
            nn.Conv2d(_NARROW, growth, 3, padding=1, bias=False),
        )

    def forward(self, mapped: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + growth, H, W)."""
        return torch.cat([mapped, self.layers(mapped)], dim=1)


class MiniDenseNet(nn.Module):
    """A 7 by 7 convolution, two bottleneck blocks, 1,024 channels at a sixteenth of the side."""

    def __init__(self) -> None:
        super().__init__()
        first, second = _GROWTHS
        self.features = nn.Sequential(
            nn.Conv2d(3, _STEM, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(_STEM),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            _Bottleneck(_STEM, first),
            nn.AvgPool2d(2, ceil_mode=True),
            _Bottleneck(_STEM + first, second),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.BatchNorm2d(MINI_DENSENET_CHANNELS),
            nn.ReLU(),
        )


def resnet18_from_scratch() -> nn.Module:
    """A ResNet-18 with the report's initialisation, Xavier uniform."""
    model: nn.Module = torchvision.models.resnet18(weights=None)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return model
