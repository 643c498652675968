"""From pixels to a network's map, on whatever of this machine is fastest."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor, nn

from services.embedder.crops import DEVIATION, MEAN, Pixels


class Runtime(StrEnum):
    """What computes the map."""

    OPENVINO = "openvino"
    TORCH = "torch"
    CUDA = "cuda"


class Precision(StrEnum):
    """How exactly numbers are kept between layers."""

    FP32 = "fp32"
    BF16 = "bf16"


class Forward(Protocol):
    """A network's features, ready for use; called by one thread at a time.

    Attributes
    ----------
    device : where maps come to lie
    """

    device: torch.device
    precision: Precision

    def __call__(self, pixels: Pixels) -> Tensor:
        """(N, H, W, 3) uint8 RGB to (N, C, h, w) float32."""
        ...


class Normalised(nn.Module):
    """A network's features, from pixels as they are decoded."""

    factor: Tensor
    offset: Tensor

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self.features = features
        self.register_buffer("factor", 1 / (255 * deviation))
        self.register_buffer("offset", mean / deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 to (N, C, h, w)."""
        values = pixels.to(torch.float32) * self.factor - self.offset
        mapped: Tensor = self.features(values.permute(0, 3, 1, 2))
        return mapped


class TorchForward:
    """By torch: eager on a CPU, compiled on a GPU; channels last in memory on both."""

    def __init__(
        self, features: nn.Module, device: torch.device, precision: Precision = Precision.FP32
    ) -> None:
        self.device = device
        self.precision: Precision = precision
        module = Normalised(features).eval().to(device)
        module = module.to(memory_format=torch.channels_last)
        self._module: Callable[[Tensor], Tensor] = (
            torch.compile(module) if device.type == "cuda" else module
        )

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> Tensor:
        half = self.precision is Precision.BF16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            mapped = self._module(torch.from_numpy(pixels).to(self.device, non_blocking=True))
        return mapped.float()
