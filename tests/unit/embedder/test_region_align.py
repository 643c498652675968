"""The mean over a region's cells, next to torchvision's own RoIAlign."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from services.embedder.models.region_align import region_shares

HEIGHT, WIDTH = 14, 24


@pytest.mark.parametrize("grid", [1, 6, 7])
@pytest.mark.parametrize("seed", range(5))
def test_means_are_those_of_torchvisions_cells(grid: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    mapped = torch.randn(1, 32, HEIGHT, WIDTH, generator=random)
    extent = torch.tensor([WIDTH, HEIGHT])
    starts = torch.rand(40, 2, generator=random) * extent
    ends = (starts + torch.rand(40, 2, generator=random) ** 3 * extent).minimum(extent)
    odd = torch.tensor(
        [[0, 0, WIDTH, HEIGHT], [3, 3, 3, 3], [WIDTH, HEIGHT, WIDTH, HEIGHT], [0, 2, 9, 2]]
    )
    corners = torch.cat([torch.cat([starts, ends], dim=1), odd.float()])

    shares = region_shares(corners.numpy(), HEIGHT, WIDTH, grid)
    means = shares @ mapped[0].flatten(1).numpy().T

    expected = roi_align(mapped, [corners], grid, aligned=True).mean(dim=(2, 3))
    assert shares.dtype == np.float32
    assert np.allclose(means, expected.numpy(), atol=1e-5)


def test_no_regions_have_no_shares() -> None:
    assert region_shares(np.empty((0, 4), np.float32), 4, 5, 7).shape == (0, 20)
