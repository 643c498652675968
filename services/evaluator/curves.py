"""The models of precision, recall and confusions, in reports of stored and of files' data."""

import math
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from services.contracts.identity import Category
from services.domain.arrays import FloatArray
from services.domain.metrics.confusion import ConfusionMatrix, Confusions, confusion_matrix
from services.domain.metrics.operating_point import OperatingPoint
from services.domain.metrics.score_curves import SCORES, ScoreCurve, best_of, joint_curve


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Part):
    """Precision, recall and F1 of what is shown from a score on, matched at IoU .5."""

    score: float
    precision: float | None
    recall: float | None
    f1: float | None
    true_positives: int
    false_positives: int
    false_negatives: int

    @classmethod
    def of(cls, point: OperatingPoint) -> Self:
        """The point of counts at a score."""
        return cls(
            score=point.score,
            precision=point.precision,
            recall=point.recall,
            f1=point.f1,
            true_positives=point.true_positives,
            false_positives=point.false_positives,
            false_negatives=point.false_negatives,
        )


class Curve(_Part):
    """Precision at 101 recalls, and counts at 101 scores: 0, .01 to 1; matched at IoU .5."""

    precision: tuple[float | None, ...]
    """The largest precision from each recall on; None without ground truth."""
    recall_scores: tuple[float | None, ...]
    """The score at which each recall is reached; 0 where it is not."""
    true_positives: tuple[int, ...]
    """From each score on."""
    shown: tuple[int, ...]
    """The detections that count, from each score on."""
    f1: tuple[float | None, ...]

    @classmethod
    def of(cls, curve: ScoreCurve) -> Self:
        """The curve of a category."""
        return cls(
            precision=_known(curve.precision),
            recall_scores=_known(curve.reached),
            true_positives=tuple(curve.true_positives.tolist()),
            shown=tuple(curve.shown.tolist()),
            f1=tuple(curve.at(k).f1 for k in range(SCORES.size)),
        )


class Confusion(_Part):
    """Detections and objects at the operating score; the last row and column: background.

    `counts[true][predicted]`; see `services.domain.metrics.confusion.ConfusionMatrix`.
    """

    categories: tuple[Category, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, matrix: ConfusionMatrix) -> Self:
        """The matrix as lists."""
        return cls(
            categories=matrix.categories, counts=tuple(tuple(row) for row in matrix.counts.tolist())
        )


class CategoryCurve(_Part):
    """One category's curve, and the score with the largest F1; None without true positives."""

    recommended: Point | None
    curve: Curve

    @classmethod
    def of(cls, curve: ScoreCurve) -> Self:
        """The curve of a category."""
        return cls(recommended=Point.of(curve.best) if curve.best else None, curve=Curve.of(curve))


class DetectorCurves(_Part):
    """A detector's curves on one set of frames, and what it confuses at the operating score."""

    scores: tuple[Point, ...]
    """All categories together, at 101 scores."""
    recommended: Point | None
    """Of one score for all categories, the one with the largest F1, to two digits."""
    confusion: Confusion
    categories: dict[Category, CategoryCurve]

    @classmethod
    def of(
        cls,
        operating: Mapping[Category, OperatingPoint],
        curves: Mapping[Category, ScoreCurve],
        confusions: Confusions,
    ) -> Self:
        """The curves of these categories.

        Parameters
        ----------
        operating : of the categories with curves of their own
        curves : of all categories
        confusions : at that operating score, on the same frames
        """
        joint = joint_curve(curves.values())
        best = best_of(joint)
        return cls(
            scores=tuple(Point.of(point) for point in joint),
            recommended=Point.of(best) if best else None,
            confusion=Confusion.of(confusion_matrix(operating, confusions)),
            categories={category: CategoryCurve.of(curves[category]) for category in operating},
        )


def _known(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())
