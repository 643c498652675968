"""Computes the mean of RoIAlign's cells directly, as bilinear sampling is separable.

On a CPU, torchvision's kernel samples one channel after the other: for twenty boxes it takes half
as long as a small network's forward pass.
"""

import torch
from torch import Tensor


def region_means(mapped: Tensor, corners: Tensor, grid: int) -> Tensor:
    """The mean of `torchvision.ops.roi_align(mapped[None], [corners], grid, aligned=True)`.

    Parameters
    ----------
    mapped : (C, H, W)
    corners : (N, 4), [left, top, right, bottom] in cells of the map

    Returns
    -------
    (N, C)

    References
    ----------
    He et al., Mask R-CNN, 2017; `roi_align` in pytorch/vision, torchvision/csrc/ops/cpu
    """
    height, width = mapped.shape[1:]
    across = _shares(corners[:, 0], corners[:, 2], width, grid)
    along = _shares(corners[:, 1], corners[:, 3], height, grid)
    shares = (along[:, :, None] * across[:, None, :]).flatten(1)
    return shares @ mapped.permute(1, 2, 0).flatten(0, 1)


def _shares(start: Tensor, end: Tensor, extent: int, grid: int) -> Tensor:
    """(N, extent): the share of a region's samples along one axis that each map cell gets."""
    size = (end - start)[:, None]
    # Samples per cell of the region: as many as that cell is wide.
    samples = (size / grid).ceil().clamp(min=1)
    place = torch.arange(int(samples.max()) * grid if len(samples) else 0, device=start.device)
    at = start[:, None] - 0.5 + (place + 0.5) * size / (samples * grid)
    taken = (size > 0) & (place < samples * grid) & (at >= -1) & (at <= extent)
    cells = torch.arange(extent, device=start.device)
    near = (1 - (at.clamp(0, extent - 1)[..., None] - cells).abs()).clamp(min=0)
    shares: Tensor = (near * taken[..., None]).sum(dim=1) / (samples * grid)
    return shares
