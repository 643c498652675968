"""Which categories a detector takes for which, at an operating score."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category, FrameId
from services.contracts.matches import CategoryMatched
from services.domain.arrays import IntArray
from services.domain.detection.error_types import TYPES
from services.domain.detection.frame_matching import FrameMatch
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.operating_point import OperatingPoint
from services.domain.metrics.subsets import Subset, part_of

Confusions = Counter[tuple[Category, Category]]
"""Classification errors from the operating score on, by true and predicted category."""
_CLASSIFICATION = TYPES.index(ErrorType.CLASSIFICATION)


@dataclass(frozen=True)
class ConfusionMatrix:
    """Detections and objects by category, matched at IoU .5 over all areas.

    Cell (A, A) counts the true positives of A. Cell (A, B) counts the detections of B on objects of
    A, which are B's classification errors. Cell (background, B) counts B's other false positives:
    localization, both, duplicate, background. Cell (A, background) counts the objects of A that no
    detection of A found, whatever else was detected there. So a column counts each detection once.

    Attributes
    ----------
    categories : K names
    counts : (K + 1, K + 1) int64, by true and by predicted category; the last is the background
    """

    categories: tuple[Category, ...]
    counts: IntArray


def confusions_of(frame: FrameMatch, operating: Sequence[float]) -> Confusions:
    """The classification errors of one frame.

    Parameters
    ----------
    operating : the operating score of each of its categories
    """
    wrong = np.flatnonzero(frame.wrong)
    shown = frame.scores[wrong] >= np.array(operating)[frame.groups[wrong]]
    confused = np.flatnonzero(shown & (frame.errors.kind == _CLASSIFICATION))
    true = frame.truths[frame.errors.truth[confused]]
    predicted = frame.groups[wrong[confused]]
    return Counter(
        (frame.categories[t], frame.categories[p])
        for t, p in zip(true.tolist(), predicted.tolist(), strict=True)
    )


def confusion_matrix(
    operating: Mapping[Category, OperatingPoint], confusions: Confusions
) -> ConfusionMatrix:
    """The matrix of these categories' operating points.

    Parameters
    ----------
    confusions : at the operating points' score, on the same frames; those with other categories
        count as background
    """
    categories = tuple(operating)
    place = {category: k for k, category in enumerate(categories)}
    counts = np.zeros((len(categories) + 1, len(categories) + 1), np.int64)
    for (true, predicted), count in confusions.items():
        if true in place and predicted in place:
            counts[place[true], place[predicted]] = count
    confused = counts.sum(axis=0)
    for k, point in enumerate(operating.values()):
        counts[k, k] = point.true_positives
        counts[k, -1] = point.false_negatives
        counts[-1, k] = point.false_positives - confused[k]
    return ConfusionMatrix(categories, counts)


class ConfusionPool:
    """The classification errors of one detector's matches, of which frames may be replaced."""

    def __init__(self, operating: OperatingScores) -> None:
        self._operating = operating
        self._rows: dict[tuple[FrameId, Category], tuple[int, Counter[Category]]] = {}

    def put(self, match: CategoryMatched) -> None:
        """Add a category's match of a frame, or replace it."""
        rows = zip(match.scores, match.errors, match.true_categories, strict=True)
        least = self._operating.of(match.detector, match.category)
        confused = Counter(
            true
            for score, error, true in rows
            if error is ErrorType.CLASSIFICATION and true is not None and score >= least
        )
        place = match.frame_id, match.category
        self._rows.pop(place, None)
        if confused:
            self._rows[place] = part_of(match.split, shortlisted=match.shortlisted), confused

    def among(self, frames: Container[FrameId]) -> Confusions:
        """The classification errors on some frames."""
        found: Confusions = Counter()
        for (frame_id, predicted), (_, confused) in self._rows.items():
            if frame_id in frames:
                for true, count in confused.items():
                    found[true, predicted] += count
        return found

    def on(self, subset: Subset) -> Confusions:
        """The classification errors on a subset."""
        found: Confusions = Counter()
        for (_, predicted), (part, confused) in self._rows.items():
            if subset.word >> part & 1:
                for true, count in confused.items():
                    found[true, predicted] += count
        return found
