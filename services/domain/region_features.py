"""What a detection shows besides its picture: how sure, how large, where, and beside what.

A second box on the same object is a duplicate or a bad fit, a rival category with a good score a
confusion: the detector's own boxes say much about how one of them fails, and no annotation is
needed to read it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.boxes import iou_matrix
from services.domain.coco import BoolArray, FloatArray, IntArray

COMPANION_SCORE: Final = 0.05
"""Below it, a detection says nothing about its neighbours."""
_EDGE_PX: Final = 3.0
_SURE: Final = 1e-4
"""Scores are kept this far from 0 and 1, where log odds have no end."""


@dataclass(frozen=True)
class Shown:
    """The detections of one detector on one frame.

    Attributes
    ----------
    boxes : (N, 4) float64, [x, y, width, height] in pixels
    scores : (N,) float64
    categories : (N,) int64, equal where the categories are
    width, height : of the frame, in pixels
    """

    boxes: FloatArray
    scores: FloatArray
    categories: IntArray
    width: int
    height: int


def region_features(shown: Shown) -> FloatArray:
    """(N, F) float64, a row per detection; each column is what its name below says."""
    if not len(shown.scores):
        return np.empty((0, FEATURES))
    return np.column_stack([*_own(shown), *_beside(shown)])


FEATURES: Final = 21


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


def _beside(shown: Shown) -> list[FloatArray]:
    """Overlaps with the other detections, each the largest; 0 where there is no other."""
    scores, count = shown.scores, len(shown.scores)
    no_crowd, crowd = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    overlap = iou_matrix(shown.boxes, shown.boxes, no_crowd)
    inside = iou_matrix(shown.boxes, shown.boxes, crowd)  # share of the row's own area
    counts = (scores >= COMPANION_SCORE)[None, :] & ~np.eye(count, dtype=np.bool_)
    same = shown.categories[:, None] == shown.categories[None, :]
    surer = _surer(scores)
    above, below, rivals = same & surer & counts, same & ~surer & counts, ~same & counts
    weighed = overlap * scores[None, :]

    def most(values: FloatArray, of: BoolArray) -> FloatArray:
        return np.asarray(np.where(of, values, 0.0).max(axis=1))

    return [
        most(overlap, above),
        most(inside, above),
        most(inside.T, above),
        most(weighed, above),
        most(overlap, below),
        most(weighed, below),
        most(inside.T * scores[None, :], below),
        most(overlap, rivals),
        most(weighed, rivals),
        most(inside * scores[None, :], rivals),
        np.log1p((overlap * (same & counts)).sum(axis=1)),
        np.full(count, np.log1p(np.count_nonzero(scores >= _PLAIN))),
    ]


_PLAIN: Final = 0.3


def _surer(scores: FloatArray) -> BoolArray:
    """(N, N), whether the column's detection comes before the row's; ties by place."""
    place = np.empty(len(scores), np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.asarray(place[None, :] < place[:, None])
