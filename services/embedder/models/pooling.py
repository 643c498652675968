"""Pooling: turns a feature map into a vector."""

from collections.abc import Iterator
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

GRID = 7
"""Cells per side of RoIAlign, as in torchvision, and of the pooling `grid`."""
_GEM_POWER = 3.0
_LEVELS = 3
_OVERLAP = 0.4
"""Target overlap of neighbouring windows, from the R-MAC paper."""


class Pooling(StrEnum):
    """How a map becomes a vector."""

    PENULTIMATE = "penultimate"
    """The network's own layers, up to the one before its last."""
    AVERAGE = "average"
    GEM = "gem"
    """The generalised mean of power 3: Radenović et al., TPAMI 2019."""
    RMAC = "rmac"
    """Maxima over windows of three sizes, each of unit length, summed: Tolias et al., ICLR 2016."""
    GRID = "grid"
    """Seven by seven cells, one after another: 512 channels give the reports' 25,088."""


def pool(mapped: Tensor, pooling: Pooling) -> Tensor:
    """(N, C, H, W) to (N, C), or to (N, 49 C) for a grid.

    Raises
    ------
    ValueError
        `penultimate`, which the network itself computes.
    """
    if pooling is Pooling.AVERAGE:
        return mapped.mean(dim=(2, 3))
    if pooling is Pooling.GEM:
        return mapped.clamp(min=1e-6).pow(_GEM_POWER).mean(dim=(2, 3)).pow(1 / _GEM_POWER)
    if pooling is Pooling.RMAC:
        height, width = mapped.shape[2:]
        maxima = [
            normalize(mapped[:, :, top : top + side, left : left + side].amax(dim=(2, 3)))
            for top, left, side in windows(height, width)
        ]
        return torch.stack(maxima).sum(dim=0)
    if pooling is Pooling.GRID:
        return adaptive_avg_pool2d(mapped, GRID).flatten(1)
    raise ValueError(f"{pooling} is the network's own way")


def dimension(channels: int, pooling: Pooling) -> int:
    """Length of the vectors that `pool` returns for a map with this many channels."""
    return channels * GRID**2 if pooling is Pooling.GRID else channels


def windows(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """R-MAC's square windows on a map: top, left and side, level by level."""
    short, long = sorted((height, width))
    more = _more(short, long)
    for level in range(1, _LEVELS + 1):
        side = max(2 * short // (level + 1), 1)
        down = level + (more if height > width else 0)
        across = level + (more if width > height else 0)
        for top in np.linspace(0, height - side, down).astype(int).tolist():
            for left in np.linspace(0, width - side, across).astype(int).tolist():
                yield top, left, side


def _more(short: int, long: int) -> int:
    """Number of additional windows along the longer side that comes nearest to `_OVERLAP`."""
    if long == short:
        return 0

    def off(count: int) -> float:
        return abs(1 - (long - short) / (count * short) - _OVERLAP)

    return min(range(1, 7), key=off)
