"""CVAT's masks: runs row by row within a box, where COCO's go column by column over the image."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from pycocotools import mask as coco_mask

from services.contracts.errors import InvalidRecord
from services.contracts.events import Rle
from services.contracts.run_lengths import INVALID_MASK
from services.domain.detection.mask_shapes import pixels
from services.formats.geometry import Size
from services.formats.masks import MAX_DRAWN_PIXELS, Shape, shape_of


class CvatMask(NamedTuple):
    """A mask as CVAT's files and its server have it.

    Attributes
    ----------
    runs : lengths of background and object in turn, row by row within the box
    left, top, width, height : the box, in whole pixels of the image

    References
    ----------
    `MaskConverter` in cvat-ai/cvat, cvat/apps/dataset_manager/formats/transformations.py
    """

    runs: tuple[int, ...]
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, mask: Rle) -> Self:
        """A mask of at least one pixel, within its bounding box."""
        drawn = pixels(mask)
        rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
        inside = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        flat = inside.ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        runs = np.diff([0, *changes, flat.size]).tolist()
        height, width = inside.shape
        starting = (0,) if flat[0] else ()
        return cls((*starting, *runs), int(columns[0]), int(rows[0]), width, height)

    @classmethod
    def of_points(cls, points: Sequence[float]) -> Self:
        """A mask as the server has it: the runs, then the first and last column and row.

        Raises
        ------
        InvalidRecord
            `invalid_mask`: a number is not whole.
        """
        if not all(float(number).is_integer() for number in points):
            raise _invalid("a mask's numbers are not whole")
        *runs, left, top, right, bottom = map(int, points)
        return cls(tuple(runs), left, top, right - left + 1, bottom - top + 1)

    @property
    def points(self) -> list[float]:
        """The mask as the server has it."""
        corners = (self.left, self.top, self.left + self.width - 1, self.top + self.height - 1)
        return [float(number) for number in (*self.runs, *corners)]

    def on(self, size: Size) -> Shape:
        """The mask on an image of this width and height.

        Raises
        ------
        InvalidRecord
            `invalid_mask`: the box reaches beyond the image, the runs do not fill it, the image is
            too large, or the runs are too many. `box_without_area`: the mask is empty.
        """
        self._require_valid(size)
        width, height = size
        inside = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
        drawn = np.zeros((height, width), np.uint8, order="F")
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        drawn[rows, columns] = inside.reshape(self.height, self.width)
        return shape_of(size, coco_mask.encode(drawn)["counts"])

    def _require_valid(self, size: Size) -> None:
        right, bottom = self.left + self.width, self.top + self.height
        if not (0 <= self.left < right <= size[0] and 0 <= self.top < bottom <= size[1]):
            box = f"{self.width} x {self.height} pixels at {self.left}, {self.top}"
            raise _invalid(f"a mask of {box} is not within the image of {size[0]} x {size[1]}")
        if math.prod(size) > MAX_DRAWN_PIXELS:
            raise _invalid(f"the image of the mask has more than {MAX_DRAWN_PIXELS} pixels")
        if min(self.runs, default=0) < 0 or sum(self.runs) != self.width * self.height:
            raise _invalid("the run lengths do not fill the mask's box")


def _invalid(detail: str) -> InvalidRecord:
    return InvalidRecord(detail, reason=INVALID_MASK)
