"""Operating points: which detections are shown from a score on, and how many of them are right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from services.contracts.events import ErrorType
from services.domain.detection.error_types import TYPES


@dataclass(frozen=True)
class OperatingPoint:
    """Counts from a score on, matched at IoU .5 over all areas."""

    score: float
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    overlap: float = 0.0
    """Sum of the true positives' IoU; 0 where it is not known."""
    errors: Mapping[ErrorType, int] = field(default_factory=dict)
    """False positives by type; empty where it is not known."""

    @classmethod
    def of(cls, score: float, true_positives: int, shown: int, truths: int) -> Self:
        """The point at which so many detections are shown, for so many ground truths."""
        return cls(score, true_positives, shown - true_positives, truths - true_positives)

    @property
    def precision(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; None without ground truth and detections."""
        wrong = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def mean_iou(self) -> float | None:
        return _share(self.overlap, self.true_positives)


def joint_operating_point(parts: Sequence[OperatingPoint], score: float) -> OperatingPoint:
    """The sum of all categories' operating points.

    Parameters
    ----------
    score : of the categories that have no operating score of their own
    """
    return OperatingPoint(
        score,
        sum(part.true_positives for part in parts),
        sum(part.false_positives for part in parts),
        sum(part.false_negatives for part in parts),
        math.fsum(part.overlap for part in parts),
        {kind: sum(part.errors.get(kind, 0) for part in parts) for kind in TYPES},
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
