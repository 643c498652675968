"""A detector's curves on one subset, as the evaluator stores them for charts."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from services.contracts.identity import Category
from services.domain.metrics.operating_point import OperatingPoint


class _Read(BaseModel):
    """Only the fields that the page uses; others may be added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Point(_Read):
    score: float
    true_positives: int
    false_positives: int
    false_negatives: int

    def operating_point(self) -> OperatingPoint:
        return OperatingPoint(
            self.score, self.true_positives, self.false_positives, self.false_negatives
        )


class _Curve(_Read):
    true_positives: tuple[int, ...]
    shown: tuple[int, ...]


class _CategoryCurve(_Read):
    recommended: _Point | None
    curve: _Curve


class StoredConfusion(_Read):
    """`counts[true][predicted]` at the operating score; the last row and column: background."""

    categories: tuple[Category, ...]
    counts: tuple[tuple[int, ...], ...]


class StoredCurves(_Read):
    """Counts by score of each category and of all together, and confusions."""

    scores: tuple[_Point, ...]
    recommended: _Point | None
    confusion: StoredConfusion
    categories: dict[Category, _CategoryCurve]

    def points(self, category: Category | None) -> Sequence[OperatingPoint]:
        """What is shown from each score on, by ascending score; None is all categories together."""
        joint = [point.operating_point() for point in self.scores]
        if category is None:
            return joint
        row = self.confusion.counts[self.confusion.categories.index(category)]
        # An object is found by a detection of its category, or is in the background's column.
        truths = row[self.confusion.categories.index(category)] + row[-1]
        curve = self.categories[category].curve
        rows = zip(joint, curve.true_positives, curve.shown, strict=True)
        return [OperatingPoint.of(at.score, hits, shown, truths) for at, hits, shown in rows]

    def best(self, category: Category | None) -> OperatingPoint | None:
        """The recommended score: with the largest F1; None without true positives."""
        if category is None:
            return self.recommended.operating_point() if self.recommended else None
        point = self.categories[category].recommended
        return point.operating_point() if point else None
