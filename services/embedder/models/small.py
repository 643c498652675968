"""gazeloop-small: a network for two CPU cores, whose weights are included."""

import torch
from torch import Tensor, nn

CHANNELS = 128


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = _convolution(inputs, outputs, stride)
        self.two = _convolution(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return torch.relu(self.two(torch.relu(self.one(pixels))) + self.skip(pixels))


class GazeloopSmall(nn.Module):
    """Four residual stages at strides 2, 4, 8 and 16, and a linear map to the embedding.

    The last layer has batch normalisation but no ReLU, so that cosines use both signs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _convolution(3, 24, 2),
            nn.ReLU(),
            _Residual(24, 24, 1),
            _Residual(24, 48, 2),
            _Residual(48, 96, 2),
            _Residual(96, 192, 2),
            nn.Conv2d(192, CHANNELS, 1, bias=False),
            nn.BatchNorm2d(CHANNELS, affine=False),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 128, H / 16, W / 16)."""
        mapped: Tensor = self.features(pixels)
        return mapped
