"""How much AP each kind of error costs: what AP at IoU .5 would gain if it were repaired.

TIDE's dAP (Bolya et al., ECCV 2020, section 2.3), with the repairs of tidecv 1.0.1:

- localization: of the detections that miss a ground truth nobody found by a bit, the best becomes a
  true positive; the others go
- classification: the same, in the ground truth's own category
- both, duplicate, background: they go
- missed: a ground truth that nobody found, and no repair above would find, need not be found
- false positives, false negatives: all of either kind at once

The numbers are tidecv's, except where it departs from COCO: it takes detections that COCO ignores
for errors; it keeps 100 detections of a frame, not of a category on it; of two ground truths that
are overlapped equally it takes the first; its mean runs over categories without ground truth, or
with none left to find, as well; after a repair it puts false positives before true ones of the same
score; and its recalls are x / 100, which is not always what linspace gives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.contracts.events import ErrorType, FrameAnnotated, PredictionsMade
from services.contracts.identity import Category, FrameId
from services.domain.detection.coco import RECALLS, BoolArray, FloatArray, IntArray
from services.domain.detection.error_types import TYPES
from services.domain.detection.matching import FrameMatch, frame_match, group_of

_REPAIRABLE: Final = (
    TYPES.index(ErrorType.LOCALIZATION),
    TYPES.index(ErrorType.CLASSIFICATION),
)


class Cost(StrEnum):
    """What can be repaired beside the five types of false positive."""

    MISSED = "missed"
    FALSE_POSITIVES = "false_positives"
    FALSE_NEGATIVES = "false_negatives"


@dataclass(frozen=True)
class ErrorCosts:
    """AP at IoU .5, and what each repair alone would add to it."""

    ap50: float | None
    costs: Mapping[ErrorType | Cost, float]


@dataclass(frozen=True)
class _Points:
    """Every detection that counts at IoU .5, in the frames' order.

    Attributes
    ----------
    category, scores, right : (N,) of each
    kind : (N,) place in `TYPES`, -1 for a true positive
    repaired : (N,) the category in which a repair makes it a true positive, else -1
    truths, missed, unfound : (K,) ground truths of each category: all, those beyond repair, and
        those that nobody found
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
        """AP over the categories that have something to find."""
        values = []
        for k in np.flatnonzero(truths):
            of_category = self.category == k
            values.append(_ap(self.scores[of_category], self.right[of_category], int(truths[k])))
        return sum(values) / len(values) if values else None


def error_costs(frames: Iterable[tuple[PredictionsMade, FrameAnnotated]]) -> ErrorCosts:
    """What each kind of error costs one detector on these frames.

    Parameters
    ----------
    frames : one detector's predictions and the ground truth, of each frame once
    """
    pool = ErrorCostPool()
    for frame in frames:
        pool.put(*frame)
    return pool.costs()


_DETECTION: Final = np.dtype(
    [("category", "i4"), ("score", "f8"), ("right", "?"), ("kind", "i1"), ("repaired", "i4")]
)
_TRUTH: Final = np.dtype([("category", "i4"), ("missed", "?"), ("unfound", "?")])


class ErrorCostPool:
    """One detector's detections, and what a repair makes of them."""

    def __init__(self) -> None:
        self._codes: dict[Category, int] = {}
        self._frames: dict[FrameId, tuple[NDArray[Any], NDArray[Any]]] = {}

    def put(self, predictions: PredictionsMade, truth: FrameAnnotated) -> None:
        """Take in a frame, instead of what was known of it."""
        frame = frame_match(predictions, truth)
        codes = np.array([self._code(name) for name in frame.categories], np.int64)
        truths = np.zeros(frame.truths.size, _TRUTH)
        truths["category"] = codes[frame.truths]
        repaired, reachable = _repairs(frame, truths["category"])
        truths["missed"] = ~frame.used & ~reachable
        truths["unfound"] = ~frame.used
        matches = frame.matches
        detections = np.zeros(frame.wrong.size, _DETECTION)
        detections["category"] = codes[group_of(matches.starts)]
        detections["score"] = frame.detections.scores[matches.source]
        detections["right"] = ~frame.wrong
        detections["kind"] = -1
        detections["kind"][frame.wrong] = frame.errors.kind
        detections["repaired"] = repaired
        self._frames[predictions.frame_id] = detections[(matches.ignored & 1) == 0], truths

    def drop(self, frame_id: FrameId) -> None:
        """Forget a frame, if it was taken in."""
        self._frames.pop(frame_id, None)

    def costs(self) -> ErrorCosts:
        """What each kind of error costs on the frames so far."""
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
        # Nothing left to find is nothing to gain.
        gains = {kind: 0.0 if ap is None else max(ap - base, 0.0) for kind, ap in repaired.items()}
        return ErrorCosts(base, gains)

    def _code(self, name: Category) -> int:
        return self._codes.setdefault(name, len(self._codes))

    def _points(self) -> _Points:
        # In the order of their ids, which is that of equal scores.
        frames = [self._frames[frame_id] for frame_id in sorted(self._frames)]
        detections = np.concatenate([np.zeros(0, _DETECTION), *(found for found, _ in frames)])
        truths = np.concatenate([np.zeros(0, _TRUTH), *(there for _, there in frames)])
        category = truths["category"]
        counts = [
            np.bincount(some, minlength=len(self._codes))
            for some in (category, category[truths["missed"]], category[truths["unfound"]])
        ]
        columns = [detections[name] for name in ("category", "score", "right", "kind", "repaired")]
        return _Points(*columns, *counts)


def _repairs(frame: FrameMatch, truths: IntArray) -> tuple[IntArray, BoolArray]:
    """Of each match the category in which a repair finds a ground truth; which truths one finds.

    One of localization or classification, and only the best of those that point to a ground truth.
    """
    repaired = np.full(frame.wrong.size, -1)
    reachable = np.zeros(truths.size, np.bool_)
    wrong = np.flatnonzero(frame.wrong)
    scores = frame.detections.scores[frame.matches.source[wrong]]
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
    """Precision averaged over the 101 recalls."""
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precision = hits / np.arange(1, hits.size + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best[np.searchsorted(hits / truths, RECALLS)].mean())
