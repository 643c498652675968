"""Features of a detection besides its image: score, size, position, and overlaps with others.

A second box on the same object suggests a duplicate or a bad localization; an overlapping box of
another category with a good score suggests a confusion. This needs no annotation.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.arrays import FloatArray, IntArray
from services.domain.detection.boxes import check_boxes

COMPANION_SCORE: Final = 0.05
"""Detections with lower scores are not used as companions."""
_CONFIDENT_SCORE: Final = 0.3
_EDGE_PX: Final = 3.0
_SURE: Final = 1e-4
"""Scores are clipped to this distance from 0 and 1, where log odds are infinite."""

PAIR_COLUMNS: Final = (
    "above_iou",
    "above_own_share",
    "above_other_share",
    "above_scored_iou",
    "below_iou",
    "below_scored_iou",
    "below_scored_other_share",
    "rival_iou",
    "rival_scored_iou",
    "rival_scored_own_share",
    "summed_iou",
)
"""Overlaps with companions: the largest with one of the same category and a higher score (above),
with one of a lower score (below), and with one of another category (rival); then the sum over the
same category. A share is the intersection over the own area or the other's; scored is times the
companion's score."""
COLUMNS: Final = (
    "log_odds",
    "middle_x",
    "middle_y",
    "log_width",
    "log_height",
    "log_aspect",
    "off_centre",
    "at_left_edge",
    "at_right_edge",
    *PAIR_COLUMNS,
    "confident_detections",
)
"""The last two are log(1 + x), of the summed IoU and of the frame's number of confident ones."""
FEATURES: Final = len(COLUMNS)


@dataclass(frozen=True)
class Shown:
    """The detections of one detector on one frame.

    Attributes
    ----------
    boxes : (N, 4) float64, [x, y, width, height] in pixels
    scores : (N,) float64
    categories : (N,) int64, a number per category
    width, height : of the frame, in pixels
    """

    boxes: FloatArray
    scores: FloatArray
    categories: IntArray
    width: int
    height: int


def region_features(shown: Shown) -> FloatArray:
    """(N, F) float64, a row per detection, see `COLUMNS`."""
    if not len(shown.scores):
        return np.empty((0, FEATURES))
    return np.column_stack([*_own(shown), *_pairs(shown)])


def _own(shown: Shown) -> list[FloatArray]:
    sure = np.clip(shown.scores, _SURE, 1 - _SURE)
    x, y, width, height = shown.boxes.T
    middle = (x + width / 2) / shown.width
    return [
        np.log(sure / (1 - sure)),
        middle,
        (y + height / 2) / shown.height,
        np.log(width / shown.width),
        np.log(height / shown.height),
        np.log(width / height),
        np.abs(middle - 0.5),
        (x < _EDGE_PX).astype(float),
        (x + width > shown.width - _EDGE_PX).astype(float),
    ]


def _pairs(shown: Shown) -> list[FloatArray]:
    """Overlaps with the other detections; 0 where there is no other."""
    from services.domain.mining import region_kernels  # noqa: PLC0415  # see compiled.py

    check_boxes(shown.boxes)
    scores = shown.scores
    columns = region_kernels.pair_columns(
        shown.boxes, scores, shown.categories, scores >= COMPANION_SCORE
    )
    *largest, shared = columns.T
    confident = np.log1p(np.count_nonzero(scores >= _CONFIDENT_SCORE))
    return [*largest, np.log1p(shared), np.full(len(scores), confident)]
