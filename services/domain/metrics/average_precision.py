"""COCO's twelve numbers and the operating point, per category and over categories."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.contracts.events import ErrorType
from services.domain.detection.coco import METRICS, FloatArray
from services.domain.detection.error_types import TYPES


@dataclass(frozen=True)
class Operating:
    """Counts at one operating score, matched at IoU .5 over all areas."""

    score: float
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    overlap: float = 0.0
    """Sum of the true positives' IoU."""
    errors: Mapping[ErrorType, int] = field(default_factory=dict)
    """False positives by type."""

    @property
    def precision(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        wrong = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def mean_iou(self) -> float | None:
        return _share(self.overlap, self.true_positives)


@dataclass(frozen=True)
class Figures:
    """One category of one detector on one set of frames.

    Attributes
    ----------
    numbers : (12,) float64 in the order of `METRICS`; NaN where no ground truth defines them
    detections, frames, ground_truths : their numbers
    """

    numbers: FloatArray
    score: float
    shown: FloatArray
    """(8,) see `curve_kernels.figures`."""
    detections: int
    frames: int
    ground_truths: int

    @property
    def operating(self) -> Operating:
        """The counts at the operating score."""
        hits, wrong, overlap, *by_type = self.shown.tolist()
        errors = dict(zip(TYPES, map(int, by_type), strict=True))
        missed = self.ground_truths - int(hits)
        return Operating(self.score, int(hits), int(wrong), missed, overlap, errors)

    @property
    def average_precision(self) -> float | None:
        return _known(self.numbers[0])


def twelve(parts: Iterable[Figures]) -> dict[str, float | None]:
    """COCO's twelve numbers: the mean of each over the categories where it is defined."""
    return named(mean_numbers([part.numbers for part in parts]))


def mean_numbers(numbers: Sequence[FloatArray]) -> FloatArray:
    """(12,) means over categories, NaN where no category defines a number."""
    if not numbers:
        return np.full(len(METRICS), np.nan)
    stacked = np.array(numbers)
    known = ~np.isnan(stacked)
    counts = known.sum(axis=0)
    sums = np.where(known, stacked, 0).sum(axis=0)
    means: FloatArray = np.where(counts, sums / np.maximum(counts, 1), np.nan)
    return means


def named(numbers: FloatArray) -> dict[str, float | None]:
    """The twelve numbers by name; None where pycocotools says -1."""
    return {name: _known(value) for name, value in zip(METRICS, numbers, strict=True)}


def operating_point(parts: Sequence[Operating], score: float) -> Operating:
    """The sum of all categories' operating points.

    Parameters
    ----------
    score : of the categories that have no operating score of their own
    """
    return Operating(
        score,
        sum(part.true_positives for part in parts),
        sum(part.false_positives for part in parts),
        sum(part.false_negatives for part in parts),
        math.fsum(part.overlap for part in parts),
        {kind: sum(part.errors.get(kind, 0) for part in parts) for kind in TYPES},
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
