"""The interface of a network's forward pass from pixels to its map, and its torch version."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor, nn

from services.embedder.models.crops import Pixels
from services.embedder.models.normalising import Normalise
from services.embedder.models.precision import Precision


class Runtime(StrEnum):
    """The library that computes the map."""

    OPENVINO = "openvino"
    TORCH = "torch"
    CUDA = "cuda"


class Forward(Protocol):
    """Computes a network's features; not thread-safe.

    Attributes
    ----------
    device : device of the returned maps
    calibrated : sha256 of the quantised network; empty if it is not quantised
    """

    device: torch.device
    precision: Precision
    calibrated: str

    def __call__(self, pixels: Pixels) -> Tensor:
        """(N, H, W, 3) uint8 RGB to (N, C, h, w) float32."""
        ...


class TorchForward:
    """A Forward on torch: eager on a CPU, compiled on a GPU; channels last in memory on both."""

    calibrated = ""

    def __init__(
        self, features: nn.Module, device: torch.device, precision: Precision = Precision.FP32
    ) -> None:
        self.device = device
        self.precision: Precision = precision
        module = nn.Sequential(Normalise(), features).eval().to(device)
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
