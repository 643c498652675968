"""Run-length masks as parallel lists, and their overlap as pycocotools computes it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as rle

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection
from services.contracts.identity import Box
from services.domain.arrays import BoolArray, FloatArray, IntArray

Grid = tuple[int, int]
"""Height and width of the image that masks are drawn on."""


@dataclass(frozen=True)
class Masks:
    """N masks in pycocotools' form, each with `size` and compressed `counts`."""

    encoded: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, items: Iterable[Detection | Annotation], grid: Grid) -> "Masks":
        """The masks of these objects; one without a mask counts as its box, filled."""
        return cls([_encoded(item, grid) for item in items])

    def __len__(self) -> int:
        return len(self.encoded)

    @property
    def areas(self) -> FloatArray:
        """(N,) float64, in pixels."""
        return np.array(rle.area(list(self.encoded)), np.float64)

    def taken(self, order: IntArray | slice) -> "Masks":
        """Some of the masks, in this order."""
        if isinstance(order, slice):
            return Masks(self.encoded[order])
        return Masks([self.encoded[i] for i in order])


def area_of(annotation: Annotation) -> float:
    """The area in square pixels: as it is stated, else the mask's, else the box's."""
    if annotation.area is not None:
        return annotation.area
    if annotation.mask is not None:
        return float(rle.area(annotation.mask.model_dump()))
    return annotation.bbox[2] * annotation.bbox[3]


def grid_of(items: Iterable[Detection | Annotation]) -> Grid | None:
    """The grid of a frame's masks: that of the first one; None without masks."""
    return next((item.mask.size for item in items if item.mask is not None), None)


def mask_iou_matrix(detections: Masks, annotations: Masks, crowd: BoolArray) -> FloatArray:
    """Overlap of every detection's mask with every annotation's.

    Parameters
    ----------
    detections, annotations : D and G masks
    crowd : (G,) bool; where true, the denominator is the detection's own area

    Returns
    -------
    (D, G) float64 in [0, 1]; 0 where masks do not overlap, or are drawn on different grids

    Raises
    ------
    InvalidRecord
        `crowd` has another length.

    References
    ----------
    `rleIou` in cocodataset/cocoapi, common/maskApi.c, which this calls
    """
    if crowd.shape != (len(annotations),):
        raise InvalidRecord(f"crowd {crowd.shape}, {len(annotations)} masks", reason="length")
    if not len(detections) or not len(annotations):
        return np.zeros((len(detections), len(annotations)))
    overlap = rle.iou(list(detections.encoded), list(annotations.encoded), crowd.astype(np.uint8))
    return np.ascontiguousarray(overlap).clip(min=0)  # -1 marks different grids


def _encoded(item: Detection | Annotation, grid: Grid) -> dict[str, Any]:
    if item.mask is None:
        return _filled(item.bbox, grid)
    return {"size": list(item.mask.size), "counts": item.mask.counts}


def _filled(box: Box, grid: Grid) -> dict[str, Any]:
    """A box as a mask, as `COCO.loadRes` makes one of results that have only boxes."""
    # Within the grid, because drawing takes as long as the outline.
    left, right = (min(max(x, 0.0), float(grid[1])) for x in (box[0], box[0] + box[2]))
    top, bottom = (min(max(y, 0.0), float(grid[0])) for y in (box[1], box[1] + box[3]))
    outline = [left, top, left, bottom, right, bottom, right, top]
    (mask,) = rle.frPyObjects([outline], *grid)
    return dict(mask)
