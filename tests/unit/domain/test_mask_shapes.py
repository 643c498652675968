"""Masks as runs of pixels and as SVG paths."""

import re

import numpy as np
import pytest
from pycocotools import mask as rle

from services.contracts.events import Rle
from services.domain.detection.mask_shapes import column_runs, outline_path, pixels


def mask_of(there: np.ndarray) -> Rle:
    found = rle.encode(np.asfortranarray(there.astype(np.uint8)))
    return Rle(size=there.shape, counts=found["counts"].decode())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_runs_and_pixels_are_those_of_the_mask(share: float) -> None:
    there = np.random.default_rng(7).random((23, 31)) < share
    mask = mask_of(there)

    painted = np.zeros_like(there)
    for run in column_runs(mask):
        assert not painted[run.y : run.y + run.length, run.x].any()
        painted[run.y : run.y + run.length, run.x] = True

    np.testing.assert_array_equal(painted, there)
    np.testing.assert_array_equal(pixels(mask), there)


def test_a_path_covers_the_object_in_the_pixels_of_its_image() -> None:
    there = np.zeros((10, 20), bool)
    there[2:5, 6:8] = True

    assert outline_path(mask_of(there), (20, 10), 100) == "M6 2h1v3h-1zM7 2h1v3h-1z"
    assert outline_path(mask_of(there), (40, 40), 100) == "M12 8h2v12h-2zM14 8h2v12h-2z"
    assert outline_path(mask_of(np.zeros((4, 4), bool)), (4, 4), 100) == ""


def test_a_wide_object_is_drawn_with_few_columns_that_leave_no_gap() -> None:
    path = outline_path(mask_of(np.ones((8, 1000), bool)), (1000, 8), 100)

    columns = [float(x) for x in re.findall(r"M(\S+) ", path)]
    assert columns == [10.0 * k for k in range(100)]
    assert path.startswith("M0 0h10v8h-10z")
