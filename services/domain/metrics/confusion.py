"""Which categories a detector takes for which, at an operating score."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category
from services.domain.detection.coco import IntArray
from services.domain.detection.error_types import TYPES
from services.domain.detection.matching import FrameMatch
from services.domain.metrics.average_precision import Operating

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


def confusions_of(frame: FrameMatch, operating_score: float) -> Confusions:
    """The classification errors of one frame."""
    wrong = np.flatnonzero(frame.wrong)
    shown = frame.scores[wrong] >= operating_score
    confused = np.flatnonzero(shown & (frame.errors.kind == _CLASSIFICATION))
    true = frame.truths[frame.errors.truth[confused]]
    predicted = frame.groups[wrong[confused]]
    return Counter(
        (frame.categories[t], frame.categories[p])
        for t, p in zip(true.tolist(), predicted.tolist(), strict=True)
    )


def confusion_matrix(
    operating: Mapping[Category, Operating], confusions: Confusions
) -> ConfusionMatrix:
    """The matrix of these categories' operating points.

    Parameters
    ----------
    confusions : at the operating points' score, on the same frames
    """
    categories = tuple(operating)
    place = {category: k for k, category in enumerate(categories)}
    counts = np.zeros((len(categories) + 1, len(categories) + 1), np.int64)
    for (true, predicted), count in confusions.items():
        counts[place[true], place[predicted]] = count
    confused = counts.sum(axis=0)
    for k, point in enumerate(operating.values()):
        counts[k, k] = point.true_positives
        counts[k, -1] = point.false_negatives
        counts[-1, k] = point.false_positives - confused[k]
    return ConfusionMatrix(categories, counts)
