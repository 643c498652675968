"""Masks as runs of pixels, and as pixels, for pictures."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from services.contracts.events import Rle
from services.contracts.run_lengths import run_lengths
from services.domain.arrays import BoolArray


class ColumnRun(NamedTuple):
    """Pixels of a mask below each other: `length` of them in column `x`, from row `y` on."""

    x: int
    y: int
    length: int


def column_runs(mask: Rle) -> Iterator[ColumnRun]:
    """The runs of a mask's object, from left to right and from top to bottom."""
    height = mask.size[0]
    start = 0
    for place, length in enumerate(run_lengths(mask.counts)):
        end = start + length
        while place % 2 and start < end:  # a run may go on in the next column
            x, y = divmod(start, height)
            stop = min(end, (x + 1) * height)
            yield ColumnRun(x, y, stop - start)
            start = stop
        start = end


def outline_path(mask: Rle, image: tuple[int, int], most: int) -> str:
    """An SVG path that fills the mask, in the image's pixels.

    Parameters
    ----------
    image : width and height, where masks may be drawn on another grid
    most : columns to draw; of a wider object, every second column or fewer
    """
    runs = list(column_runs(mask))
    if not runs:
        return ""
    step = math.ceil((runs[-1].x - runs[0].x + 1) / most)
    across, down = image[0] / mask.size[1], image[1] / mask.size[0]
    wide = f"{step * across:.4g}"
    return "".join(
        f"M{run.x * across:.5g} {run.y * down:.5g}h{wide}v{run.length * down:.5g}h-{wide}z"
        for run in runs
        if (run.x - runs[0].x) % step == 0
    )


def pixels(mask: Rle) -> BoolArray:
    """(height, width) bool, true inside the object."""
    runs = run_lengths(mask.counts)
    height, width = mask.size
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height)
    return columns.T
