"""Points of curves, as reports have them."""

from services.domain.metrics.operating_point import OperatingPoint
from services.evaluator.curves import Point


def test_a_point_counts_what_is_wrong_and_what_is_missing() -> None:
    point = Point.of(OperatingPoint.of(score=0.5, true_positives=6, shown=8, truths=12))
    assert (point.true_positives, point.false_positives, point.false_negatives) == (6, 2, 6)
    assert (point.precision, point.recall, point.f1) == (0.75, 0.5, 0.6)
