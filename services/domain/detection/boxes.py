"""Boxes as arrays that are checked on construction, and their overlap."""

from dataclasses import dataclass

import numpy as np

from services.contracts.errors import InvalidRecord
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.masks import Masks


def check_boxes(boxes: FloatArray) -> None:
    """Refuse boxes without position or area.

    Raises
    ------
    InvalidRecord
        Not (N, 4), a value is not finite, or a width or height is not positive.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:  # noqa: PLR2004  # x, y, width, height
        raise InvalidRecord(f"boxes are (N, 4), not {boxes.shape}", reason="box_shape")
    if not np.isfinite(boxes).all():
        raise InvalidRecord("a box is not finite", reason="box_not_finite")
    if boxes.size and boxes[:, 2:].min() <= 0:
        raise InvalidRecord("a box has no area", reason="box_without_area")


def _check_length(name: str, values: FloatArray | BoolArray, boxes: FloatArray) -> None:
    if values.shape != (len(boxes),):
        raise InvalidRecord(
            f"{name} {values.shape} and boxes {boxes.shape} differ", reason="length"
        )


def _check_masks(masks: Masks | None, boxes: FloatArray) -> None:
    if masks is not None and len(masks) != len(boxes):
        raise InvalidRecord(f"{len(masks)} masks and boxes {boxes.shape} differ", reason="length")


def _check_groups(starts: IntArray, boxes: FloatArray) -> None:
    ends = starts.size > 0 and starts[0] == 0 and starts[-1] == len(boxes)
    if not ends or (np.diff(starts) < 0).any():
        raise InvalidRecord("groups do not cover the boxes in order", reason="groups")


@dataclass(frozen=True)
class Detections:
    """Detections in groups, a group being one category on one frame.

    Attributes
    ----------
    starts : (K + 1,) int64; group k is `[starts[k]:starts[k + 1]]`
    boxes : (D, 4) float64, [x, y, width, height] in pixels
    scores : (D,) float64
    masks : D masks to be matched instead of the boxes

    Raises
    ------
    InvalidRecord
        A shape is wrong, a score is not finite, or a box has no area or is not finite.
    """

    starts: IntArray
    boxes: FloatArray
    scores: FloatArray
    masks: Masks | None = None

    def __post_init__(self) -> None:
        check_boxes(self.boxes)
        _check_groups(self.starts, self.boxes)
        _check_length("scores", self.scores, self.boxes)
        if not np.isfinite(self.scores).all():
            raise InvalidRecord("a score is not finite", reason="score_not_finite")
        _check_masks(self.masks, self.boxes)

    @property
    def areas(self) -> FloatArray:
        """(D,) float64 square pixels, of the masks if they are matched."""
        if self.masks is not None:
            return self.masks.areas
        areas: FloatArray = self.boxes[:, 2] * self.boxes[:, 3]
        return areas


@dataclass(frozen=True)
class Annotations:
    """Ground truths in the same groups as the detections.

    Attributes
    ----------
    starts : (K + 1,) int64; group k is `[starts[k]:starts[k + 1]]`
    boxes : (G, 4) float64, [x, y, width, height] in pixels
    areas : (G,) float64 square pixels, of the mask where there is one
    crowd : (G,) bool; may be matched many times, by intersection over the detection's area
    ignore : (G,) bool; matched once at most, and counts neither for nor against
    masks : G masks to be matched instead of the boxes

    Raises
    ------
    InvalidRecord
        A shape is wrong, an area is negative, or a box has no area or is not finite.
    """

    starts: IntArray
    boxes: FloatArray
    areas: FloatArray
    crowd: BoolArray
    ignore: BoolArray
    masks: Masks | None = None

    def __post_init__(self) -> None:
        check_boxes(self.boxes)
        _check_groups(self.starts, self.boxes)
        for name in ("areas", "crowd", "ignore"):
            _check_length(name, getattr(self, name), self.boxes)
        if not (self.areas >= 0).all() or np.isinf(self.areas).any():
            raise InvalidRecord("an area is negative or not finite", reason="area")
        _check_masks(self.masks, self.boxes)


def iou_matrix(detections: FloatArray, annotations: FloatArray, crowd: BoolArray) -> FloatArray:
    """Overlap of every detection with every annotation.

    Parameters
    ----------
    detections, annotations : (D, 4) and (G, 4) float64, [x, y, width, height] in pixels
    crowd : (G,) bool; where true, the denominator is the detection's own area

    Returns
    -------
    (D, G) float64 in [0, 1]; 0 where the boxes do not overlap

    Raises
    ------
    InvalidRecord
        A shape is wrong, a value is not finite, or a box has no area.

    References
    ----------
    `bbIou` in cocodataset/cocoapi, common/maskApi.c: the same operations in the same order, so
    that the results are the same bit by bit.
    """
    check_boxes(detections)
    check_boxes(annotations)
    _check_length("crowd", crowd, annotations)
    one, two = detections[:, None, :], annotations[None, :, :]
    sides = np.minimum(one[..., 2:] + one[..., :2], two[..., 2:] + two[..., :2])
    sides = (sides - np.maximum(one[..., :2], two[..., :2])).clip(min=0)
    shared = sides[..., 0] * sides[..., 1]
    area = one[..., 2] * one[..., 3]
    union = np.where(crowd, area, area + two[..., 2] * two[..., 3] - shared)
    overlap: FloatArray = shared / union
    return overlap
