"""The models of `gazeloop evaluate --json`."""

import math
from typing import Self

from pydantic import BaseModel, ConfigDict

from services.contracts.events import IouType
from services.contracts.identity import Category
from services.domain.detection.coco import RECALLS, FloatArray
from services.domain.metrics.average_precision import (
    Figures,
    Operating,
    named,
    operating_point,
    twelve,
)
from services.domain.metrics.confusion import ConfusionMatrix
from services.domain.metrics.score_curves import (
    SCORES,
    OperatingChoice,
    ScoreCurve,
    best_of,
    joint_curve,
)
from services.domain.statistics.resampling import Interval
from services.evaluator.files.evaluation import Evaluated


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
    def of(cls, point: OperatingChoice | Operating) -> Self:
        """The point of counts at a score."""
        if isinstance(point, OperatingChoice):
            point = Operating(
                point.score,
                point.true_positives,
                point.shown - point.true_positives,
                point.truths - point.true_positives,
            )
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
    """Precision at 101 recalls, and counts at 101 scores, matched at IoU .5."""

    recalls: tuple[float, ...] = tuple(RECALLS.tolist())
    precision: tuple[float | None, ...]
    """The largest precision from each recall on; None without ground truth."""
    recall_scores: tuple[float | None, ...]
    """The score at which each recall is reached; 0 where it is not."""
    scores: tuple[float, ...] = tuple(SCORES.tolist())
    true_positives: tuple[int, ...]
    """From each of `scores` on."""
    shown: tuple[int, ...]
    """The detections that count, from each of `scores` on."""
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


class CategoryEvaluation(_Part):
    """One category."""

    category: Category
    ground_truths: int
    detections: int
    numbers: dict[str, float | None]
    """COCO's twelve numbers of this category."""
    interval: tuple[float, float] | None
    """95% interval of AP; None if the category is on too few images to tell."""
    operating: Point
    recommended: Point | None
    """The score with the largest F1; None without true positives."""
    curve: Curve

    @classmethod
    def of(
        cls, category: Category, figures: Figures, curve: ScoreCurve, interval: Interval | None
    ) -> Self:
        """The evaluation of a category's figures."""
        return cls(
            category=category,
            ground_truths=figures.ground_truths,
            detections=figures.detections,
            numbers=named(figures.numbers),
            interval=_bounds(interval),
            operating=Point.of(figures.operating),
            recommended=Point.of(curve.best) if curve.best else None,
            curve=Curve.of(curve),
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


class FileReport(_Part):
    """All figures of a data set's files."""

    iou_type: IouType
    images: int
    left_out: dict[str, int]
    """Images that do not count, by reason."""
    refused: dict[str, int]
    """Records that could not be used, by reason."""
    detections: int
    ground_truths: int
    numbers: dict[str, float | None]
    """COCO's twelve numbers; None where pycocotools prints -1."""
    interval: tuple[float, float] | None
    """95% interval of AP."""
    operating: Point
    recommended: Point | None
    """Of one score for all categories, the one with the largest F1, to two digits."""
    scores: tuple[Point, ...]
    """All categories together, at 101 scores."""
    error_costs: dict[str, float]
    """AP at IoU .5 that each kind of error costs."""
    confusion: Confusion
    categories: tuple[CategoryEvaluation, ...]

    @classmethod
    def of(cls, found: Evaluated, refused: dict[str, int], iou_type: IouType) -> Self:
        """The report of an evaluation."""
        parts = list(found.figures.values())
        joint = joint_curve(found.curves.values())
        best = best_of(joint)
        return cls(
            iou_type=iou_type,
            images=found.images,
            left_out=dict(found.left_out),
            refused=refused,
            detections=sum(part.detections for part in parts),
            ground_truths=sum(part.ground_truths for part in parts),
            numbers=twelve(parts),
            interval=_bounds(found.interval),
            operating=Point.of(
                operating_point([part.operating for part in parts], found.operating_score)
            ),
            recommended=Point.of(best) if best else None,
            scores=tuple(Point.of(choice) for choice in joint),
            error_costs={name.value: cost for name, cost in found.costs.costs.items()},
            confusion=Confusion.of(found.confusion),
            categories=tuple(
                CategoryEvaluation.of(
                    category, figures, found.curves[category], found.intervals[category]
                )
                for category, figures in found.figures.items()
            ),
        )


def _bounds(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)


def _known(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())
