"""COCO's twelve numbers, per category and over categories; counts at the operating score."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.domain.arrays import FloatArray
from services.domain.detection.coco import METRICS
from services.domain.detection.error_types import TYPES
from services.domain.metrics.operating_point import OperatingPoint


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
    def operating(self) -> OperatingPoint:
        """The counts at the operating score."""
        hits, wrong, overlap, *by_type = self.shown.tolist()
        errors = dict(zip(TYPES, map(int, by_type), strict=True))
        missed = self.ground_truths - int(hits)
        return OperatingPoint(self.score, int(hits), int(wrong), missed, overlap, errors)

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


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
