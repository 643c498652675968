"""The error types of false positives, by TIDE's definitions.

Bolya, Foley, Hays and Hoffman, "TIDE: A General Toolbox for Identifying Object Detection Errors",
ECCV 2020, section 2.2. The first condition that holds decides, in the order of tidecv 1.0.1
(`TIDERun._eval_image`); foreground is IoU .5 and background .1, both inclusive:

1. localization: IoU from .1 to .5 with a ground truth of its own category
2. classification: IoU of .5 or more with one of another category
3. duplicate: IoU of .5 or more with one of its own category that another detection matched
4. background: no IoU above .1
5. both: the rest, a ground truth of another category, badly localized
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.events import FALSE_POSITIVES, ErrorType
from services.domain.detection.coco import BoolArray, FloatArray, IntArray

FOREGROUND: Final = 0.5
BACKGROUND: Final = 0.1
TYPES: Final = FALSE_POSITIVES
_PAIRS_AT_ONCE: Final = 1 << 18
"""Pairs of a false positive and a ground truth that are compared at once, 100 bytes each."""


@dataclass(frozen=True)
class Errors:
    """The errors of one frame.

    Attributes
    ----------
    kind : (N,) int64, index in `TYPES`
    truth : (N,) int64, the ground truth that was confused or badly localized; -1 for background
    """

    kind: IntArray
    truth: IntArray

    def __len__(self) -> int:
        return self.kind.size


def error_types(
    overlaps: Callable[[slice], FloatArray],
    categories: IntArray,
    truth_categories: IntArray,
    used: BoolArray,
) -> Errors:
    """Classify the false positives of one frame.

    Parameters
    ----------
    overlaps : of some of the N false positives, with the G ground truths that count, of all
        categories: (n, G) IoU
    categories, truth_categories : (N,) and (G,)
    used : (G,) bool, whether a detection of its own category matched the ground truth
    """
    if not truth_categories.size or not categories.size:
        nowhere = np.full(categories.size, TYPES.index(ErrorType.BACKGROUND), np.int64)
        return Errors(nowhere, np.full(categories.size, -1, np.int64))
    # In chunks of rows, because all pairs of a crowded frame at once take gigabytes.
    rows = max(1, _PAIRS_AT_ONCE // truth_categories.size)
    parts = [
        _of_rows(overlaps(at), categories[at], truth_categories, used)
        for at in (slice(start, start + rows) for start in range(0, categories.size, rows))
    ]
    return Errors(
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def _of_rows(
    overlap: FloatArray, categories: IntArray, truth_categories: IntArray, used: BoolArray
) -> Errors:
    same = categories[:, None] == truth_categories[None, :]
    own, own_truth = _best(overlap * same)
    other, other_truth = _best(overlap * ~same)
    twin, twin_truth = _best(overlap * (same & used))
    # In the order of the module's docstring; the first condition that holds is the type.
    cases: list[tuple[ErrorType, BoolArray, IntArray]] = [
        (ErrorType.LOCALIZATION, (own >= BACKGROUND) & (own <= FOREGROUND), own_truth),
        (ErrorType.CLASSIFICATION, other >= FOREGROUND, other_truth),
        (ErrorType.DUPLICATE, twin >= FOREGROUND, twin_truth),
        (
            ErrorType.BACKGROUND,
            np.maximum(own, other) <= BACKGROUND,
            np.full(categories.size, -1),
        ),
    ]
    holds = [condition for _, condition, _ in cases]
    kind = np.select(holds, [TYPES.index(t) for t, _, _ in cases], TYPES.index(ErrorType.BOTH))
    truth = np.select(holds, [truth for _, _, truth in cases], other_truth)
    return Errors(kind.astype(np.int64), truth.astype(np.int64))


def _best(overlap: FloatArray) -> tuple[FloatArray, IntArray]:
    """Each row's largest value, and the first index of it."""
    return overlap.max(axis=1), overlap.argmax(axis=1)
