"""The AP that each error type costs: the gain of AP at IoU .5 if such errors were repaired.

TIDE's dAP (Bolya et al., ECCV 2020, section 2.3), with the repairs of tidecv 1.0.1:

- localization: of the detections with too little overlap with a missed ground truth, the one with
  the highest score becomes a true positive; the others are removed
- classification: the same, in the ground truth's category
- both, duplicate, background: removed
- missed: a missed ground truth that no repair above would find is removed
- false positives, false negatives: all of them are removed

The numbers equal tidecv's, except where tidecv departs from COCO: it counts detections that COCO
ignores as errors; it keeps 100 detections per frame instead of per category and frame; of two
ground truths with equal overlap it takes the first; its mean includes categories without ground
truth, or with none left to find; after a repair it puts false positives before true positives of
the same score; and its recalls are x / 100, which differs from linspace.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category, FrameId
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.coco import RECALLS
from services.domain.detection.error_types import TYPES
from services.domain.detection.frame_matching import FrameMatch, Pair, frame_matches
from services.domain.metrics.frame_rows import FrameRows

_REPAIRABLE: Final = (
    TYPES.index(ErrorType.LOCALIZATION),
    TYPES.index(ErrorType.CLASSIFICATION),
)


class Cost(StrEnum):
    """Costs besides those of the five types of false positive."""

    MISSED = "missed"
    FALSE_POSITIVES = "false_positives"
    FALSE_NEGATIVES = "false_negatives"


@dataclass(frozen=True)
class ErrorCosts:
    """AP at IoU .5, and what each repair on its own would add to it."""

    ap50: float | None
    costs: Mapping[ErrorType | Cost, float]


@dataclass(frozen=True)
class _Points:
    """Every detection that is not ignored at IoU .5, in the order of frames.

    Attributes
    ----------
    category, scores, right : (N,) of each
    kind : (N,) index in `TYPES`, -1 for a true positive
    repaired : (N,) the category in which a repair makes it a true positive, else -1
    truths, missed, unfound : (K,) ground truths of each category: all, those that no repair finds,
        and those that no detection found
    """

    category: IntArray
    scores: FloatArray
    right: BoolArray
    kind: IntArray
    repaired: IntArray
    truths: IntArray
    missed: IntArray
    unfound: IntArray

    def mean_ap(self, truths: IntArray) -> float | None:
        """Mean AP over the categories that have ground truth."""
        order = np.argsort(self.category, kind="stable")
        bounds = np.searchsorted(self.category[order], np.arange(truths.size + 1))
        values = []
        for k in np.flatnonzero(truths):
            of_category = order[bounds[k] : bounds[k + 1]]
            values.append(_ap(self.scores[of_category], self.right[of_category], int(truths[k])))
        return sum(values) / len(values) if values else None


def error_costs(frames: Iterable[Pair]) -> ErrorCosts:
    """The cost of each error type for one detector on these frames.

    Parameters
    ----------
    frames : one detector's predictions and the ground truth, of each frame once
    """
    pool = ErrorCostPool()
    pool.put(list(frames))
    return pool.costs()


_ROW: Final = np.dtype([("category", "i4"), ("score", "f8"), ("kind", "i1"), ("repaired", "i4")])
"""A detection, or a ground truth that no detection found; the others are as many as the true
positives. `kind` is a false positive's index in `TYPES`, else one of those below; `repaired` is the
category in which a repair makes a detection a true positive, else -1."""
_RIGHT: Final = -1
"""A true positive."""
_REACHABLE: Final = -2
"""A ground truth that a repair finds."""
_MISSED: Final = -3
"""A ground truth that no repair finds."""


class ErrorCostPool:
    """One detector's detections and ground truths, with their repairs."""

    def __init__(self) -> None:
        self._codes: dict[Category, int] = {}
        self._rows = FrameRows(_ROW)

    def __len__(self) -> int:
        """The number of frames."""
        return len(self._rows.frame_ids)

    def put(self, frames: Sequence[Pair]) -> None:
        """Add frames, or replace them."""
        for (predictions, _), match in zip(frames, frame_matches(frames), strict=True):
            self.put_match(predictions.frame_id, match)

    def put_match(self, frame_id: FrameId, frame: FrameMatch) -> None:
        """Add a frame that is matched already, or replace it."""
        codes = np.array([self._code(name) for name in frame.categories], np.int64)
        repaired, reachable = _repairs(frame, codes[frame.truths])
        detections = np.zeros(frame.wrong.size, _ROW)
        detections["category"] = codes[frame.groups]
        detections["score"] = frame.scores
        detections["kind"] = _RIGHT
        detections["kind"][frame.wrong] = frame.errors.kind
        detections["repaired"] = repaired
        unfound = ~frame.used
        truths = np.zeros(np.count_nonzero(unfound), _ROW)
        truths["category"] = codes[frame.truths[unfound]]
        truths["kind"] = np.where(reachable[unfound], _REACHABLE, _MISSED)
        self._rows.put(frame_id, detections[(frame.ignored & 1) == 0], truths)

    def drop(self, frame_id: FrameId) -> None:
        """Remove a frame, if it is there."""
        self._rows.drop(frame_id)

    def costs(self) -> ErrorCosts:
        """The cost of each error type on all frames of the pool."""
        points = self._points()
        base = points.mean_ap(points.truths)
        if base is None:
            return ErrorCosts(None, dict.fromkeys((*ErrorType, *Cost), 0.0))
        repaired: dict[ErrorType | Cost, float | None] = {
            kind: _without(points, place).mean_ap(points.truths) for place, kind in enumerate(TYPES)
        }
        repaired[Cost.MISSED] = points.mean_ap(points.truths - points.missed)
        repaired[Cost.FALSE_NEGATIVES] = points.mean_ap(points.truths - points.unfound)
        repaired[Cost.FALSE_POSITIVES] = _perfect(points).mean_ap(points.truths)
        # If no ground truth is left to find, AP is undefined and the gain is 0.
        gains = {kind: 0.0 if ap is None else max(ap - base, 0.0) for kind, ap in repaired.items()}
        return ErrorCosts(base, gains)

    def _code(self, name: Category) -> int:
        return self._codes.setdefault(name, len(self._codes))

    def _points(self) -> _Points:
        # Sorted by id, because that order breaks ties of score.
        rows, _ = self._rows.of(sorted(self._rows.frame_ids))
        right, reachable, missed = (
            np.bincount(rows["category"][rows["kind"] == kind], minlength=len(self._codes))
            for kind in (_RIGHT, _REACHABLE, _MISSED)
        )
        points = rows[rows["kind"] >= _RIGHT]
        return _Points(
            category=points["category"],
            scores=points["score"],
            right=points["kind"] == _RIGHT,
            kind=points["kind"],
            repaired=points["repaired"],
            truths=right + reachable + missed,
            missed=missed,
            unfound=reachable + missed,
        )


def _repairs(frame: FrameMatch, truths: IntArray) -> tuple[IntArray, BoolArray]:
    """The category in which a repair makes each match right, and the truths that repairs find.

    Only localization and classification errors are repaired, and for each ground truth only the
    detection with the highest score.
    """
    repaired = np.full(frame.wrong.size, -1)
    reachable = np.zeros(truths.size, np.bool_)
    wrong = np.flatnonzero(frame.wrong)
    scores = frame.scores[wrong]
    for n in np.argsort(-scores, kind="stable"):
        truth = frame.errors.truth[n]
        if frame.errors.kind[n] in _REPAIRABLE and not frame.used[truth] and not reachable[truth]:
            repaired[wrong[n]] = truths[truth]
            reachable[truth] = True
    return repaired, reachable


def _without(points: _Points, kind: int) -> _Points:
    """The points with one kind of error repaired."""
    of_category = points.kind == kind
    found = of_category & (points.repaired >= 0)
    keep = ~of_category | found
    return replace(
        points,
        category=np.where(found, points.repaired, points.category)[keep],
        scores=points.scores[keep],
        right=(points.right | found)[keep],
    )


def _perfect(points: _Points) -> _Points:
    """The points without false positives."""
    right = points.right
    return replace(
        points, category=points.category[right], scores=points.scores[right], right=right[right]
    )


def _ap(scores: FloatArray, right: BoolArray, truths: int) -> float:
    """AP: precision averaged over the 101 recalls."""
    from services.domain.statistics import envelope_kernels  # noqa: PLC0415  # see compiled.py

    seen = 1 + np.flatnonzero(right[np.argsort(-scores, kind="stable")])
    hits = np.arange(1, seen.size + 1)
    needs, decides = envelope_kernels.needs_of(truths), np.empty(RECALLS.size, np.int64)
    return float(envelope_kernels.envelope(needs, hits, seen, decides))
