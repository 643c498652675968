"""Precision, recall and F1 against the score, of one category, from the state that gives AP."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.arrays import AnyArray, FloatArray, IntArray
from services.domain.detection.coco import RECALLS
from services.domain.metrics.operating_point import OperatingPoint

SCORES: Final[FloatArray] = np.linspace(0, 1, 101)
"""(101,) the scores at which precision, recall and F1 are read."""


@dataclass(frozen=True)
class ScoreCurve:
    """One category of one detector on one set of frames, matched at one IoU over all areas.

    Attributes
    ----------
    truths : ground truths that count
    precision : (101,) float64, the largest precision from each recall of `RECALLS` on, as
        `COCOeval.eval["precision"]`; NaN without ground truth
    reached : (101,) float64, the score at which each recall is reached, 0 where it is not, as
        `COCOeval.eval["scores"]`; NaN without ground truth
    true_positives, shown : (101,) int64, true positives and detections that count, from each score
        of `SCORES` on
    best : the operating score with the largest F1; None without true positives
    """

    truths: int
    precision: FloatArray
    reached: FloatArray
    true_positives: IntArray
    shown: IntArray
    best: OperatingPoint | None

    @classmethod
    def of(cls, scores: FloatArray, states: AnyArray, truths: int) -> "ScoreCurve":
        """The curve of these detections; see `score_kernels.kept`."""
        from services.domain.metrics import score_kernels  # noqa: PLC0415  # see compiled.py

        precision, reached = np.zeros(RECALLS.size), np.zeros(RECALLS.size)
        counts = np.zeros((SCORES.size, 2), np.int64)
        # Without ground truth nothing is a true positive, so no recall is reached.
        swept = score_kernels.sweep(
            scores, states, max(truths, 1), SCORES, precision, reached, counts
        )
        if not truths:
            precision[:], reached[:] = np.nan, np.nan
        _, hits, _ = swept
        best = OperatingPoint.of(*swept, truths) if hits else None
        return cls(truths, precision, reached, counts[:, 0], counts[:, 1], best)

    def at(self, k: int) -> OperatingPoint:
        """What is shown from the `k`-th score of `SCORES` on."""
        return OperatingPoint.of(
            float(SCORES[k]), int(self.true_positives[k]), int(self.shown[k]), self.truths
        )


def joint_curve(curves: Iterable[ScoreCurve]) -> list[OperatingPoint]:
    """All categories together, at each score of `SCORES`: sums of their counts."""
    known = list(curves)
    truths = sum(curve.truths for curve in known)
    return [
        OperatingPoint.of(
            float(score),
            sum(int(curve.true_positives[k]) for curve in known),
            sum(int(curve.shown[k]) for curve in known),
            truths,
        )
        for k, score in enumerate(SCORES)
    ]


def best_of(points: Iterable[OperatingPoint]) -> OperatingPoint | None:
    """The point with the largest F1, of equals that with the highest score; None without any."""
    known = [point for point in points if point.f1 is not None]
    return max(known, key=lambda point: (point.f1, point.score), default=None)
