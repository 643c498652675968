"""What kind of mistake a false positive is, by TIDE's definitions.

Bolya, Foley, Hays and Hoffman, "TIDE: A General Toolbox for Identifying Object Detection Errors",
ECCV 2020, section 2.2, in the order in which tidecv 1.0.1 asks (`TIDERun._eval_image`), with
foreground at IoU .5 and background at .1, both ends of that range belonging to it:

1. localization: a ground truth of its own category lies within that range
2. classification: one of another category is overlapped by .5 or more
3. duplicate: one of its own is overlapped by .5 or more, and another detection has it
4. background: nothing is overlapped by more than .1
5. both: the rest, which is a ground truth of another category, badly hit
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.events import ErrorType
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.coco import BoolArray, FloatArray, IntArray

FOREGROUND: Final = 0.5
BACKGROUND: Final = 0.1
TYPES: Final = tuple(ErrorType)
_PAIRS_AT_ONCE: Final = 1 << 18
"""Of a false positive and a ground truth; each takes about 100 bytes while it is looked at."""


@dataclass(frozen=True)
class Errors:
    """The mistakes of one frame.

    Attributes
    ----------
    kind : (N,) int64, place in `TYPES`
    truth : (N,) int64, the ground truth that was mistaken or missed by a bit; -1 for background
    """

    kind: IntArray
    truth: IntArray

    def __len__(self) -> int:
        return self.kind.size


def error_types(
    boxes: FloatArray,
    categories: IntArray,
    truths: FloatArray,
    truth_categories: IntArray,
    used: BoolArray,
) -> Errors:
    """Tell the false positives of one frame apart.

    Parameters
    ----------
    boxes, categories : (N, 4) and (N,), the false positives
    truths, truth_categories : (G, 4) and (G,), the ground truths that count, of all categories
    used : (G,) whether a detection of its own category has the ground truth
    """
    if not len(truths) or not len(boxes):
        nowhere = np.full(len(boxes), TYPES.index(ErrorType.BACKGROUND), np.int64)
        return Errors(nowhere, np.full(len(boxes), -1, np.int64))
    # Rows do not depend on one another; all pairs of a crowded frame at once take gigabytes.
    rows = max(1, _PAIRS_AT_ONCE // len(truths))
    parts = [
        _of_rows(boxes[at], categories[at], truths, truth_categories, used)
        for at in (slice(start, start + rows) for start in range(0, len(boxes), rows))
    ]
    return Errors(
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def _of_rows(
    boxes: FloatArray,
    categories: IntArray,
    truths: FloatArray,
    truth_categories: IntArray,
    used: BoolArray,
) -> Errors:
    overlap = iou_matrix(boxes, truths, np.zeros(len(truths), np.bool_))
    same = categories[:, None] == truth_categories[None, :]
    own, own_truth = _best(overlap * same)
    other, other_truth = _best(overlap * ~same)
    twin, twin_truth = _best(overlap * (same & used))
    # In the order of the page above; the first that holds is the type.
    asked: list[tuple[ErrorType, BoolArray, IntArray]] = [
        (ErrorType.LOCALIZATION, (own >= BACKGROUND) & (own <= FOREGROUND), own_truth),
        (ErrorType.CLASSIFICATION, other >= FOREGROUND, other_truth),
        (ErrorType.DUPLICATE, twin >= FOREGROUND, twin_truth),
        (ErrorType.BACKGROUND, np.maximum(own, other) <= BACKGROUND, np.full(len(boxes), -1)),
    ]
    holds = [condition for _, condition, _ in asked]
    kind = np.select(holds, [TYPES.index(t) for t, _, _ in asked], TYPES.index(ErrorType.BOTH))
    truth = np.select(holds, [truth for _, _, truth in asked], other_truth)
    return Errors(kind.astype(np.int64), truth.astype(np.int64))


def _best(overlap: FloatArray) -> tuple[FloatArray, IntArray]:
    """Each row's largest value, and its first place."""
    return overlap.max(axis=1), overlap.argmax(axis=1)
