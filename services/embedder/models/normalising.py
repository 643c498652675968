"""Normalises decoded pixels for a network, in torch."""

import torch
from torch import Tensor, nn

from services.embedder.models.crops import Pixels

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation, with which torchvision's and Gazeloop's weights were trained."""


class Normalise(nn.Module):
    """Normalises decoded pixels for a network.

    A module, so that its constants move with the network to a GPU and into OpenVINO's graph.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self.register_buffer("factor", 1 / (255 * deviation))
        self.register_buffer("offset", mean / deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 to (N, 3, H, W) float32, channels last in memory."""
        values = pixels.to(torch.float32) * self.factor - self.offset
        return values.permute(0, 3, 1, 2)


def normalised(pixels: Pixels) -> Tensor:
    """Normalise (N, H, W, 3) uint8 to (N, 3, H, W) float32, channels last in memory."""
    values: Tensor = Normalise()(torch.from_numpy(pixels))
    return values
