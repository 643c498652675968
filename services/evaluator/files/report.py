"""The models of `gazeloop evaluate --json`."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from services.contracts.events import IouType
from services.contracts.identity import Category
from services.domain.metrics.average_precision import Figures, named, twelve
from services.domain.metrics.operating_point import joint_operating_point
from services.domain.statistics.resampling import Interval
from services.evaluator.curves import DetectorCurves, Point
from services.evaluator.files.evaluation import Evaluated
from services.evaluator.slices import SliceReport, bounds_of


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoryEvaluation(_Part):
    """One category."""

    category: Category
    ground_truths: int
    detections: int
    numbers: dict[str, float | None]
    """COCO's twelve numbers of this category."""
    interval: tuple[float, float] | None
    """95% interval of AP; None if the category is on too few images."""
    operating: Point

    @classmethod
    def of(cls, category: Category, figures: Figures, interval: Interval | None) -> Self:
        """The evaluation of a category's figures."""
        return cls(
            category=category,
            ground_truths=figures.ground_truths,
            detections=figures.detections,
            numbers=named(figures.numbers),
            interval=bounds_of(interval),
            operating=Point.of(figures.operating),
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
    error_costs: dict[str, float]
    """AP at IoU .5 that each kind of error costs."""
    categories: tuple[CategoryEvaluation, ...]
    curves: DetectorCurves
    slices: tuple[SliceReport, ...]
    """By tag; worse ones first."""

    @classmethod
    def of(cls, found: Evaluated, refused: Mapping[str, int], iou_type: IouType) -> Self:
        """The report of an evaluation."""
        parts = list(found.figures.values())
        points = [part.operating for part in parts]
        return cls(
            iou_type=iou_type,
            images=found.images,
            left_out=dict(found.left_out),
            refused=dict(refused),
            detections=sum(part.detections for part in parts),
            ground_truths=sum(part.ground_truths for part in parts),
            numbers=twelve(parts),
            interval=bounds_of(found.interval),
            operating=Point.of(joint_operating_point(points, found.operating.default)),
            error_costs={name.value: cost for name, cost in found.costs.costs.items()},
            categories=tuple(
                CategoryEvaluation.of(category, figures, found.intervals[category])
                for category, figures in found.figures.items()
            ),
            curves=DetectorCurves.of(
                {category: part.operating for category, part in found.figures.items()},
                found.curves,
                found.confusions,
            ),
            slices=tuple(map(SliceReport.of, found.slices)),
        )
