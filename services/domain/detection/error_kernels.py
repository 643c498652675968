# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Compiled kernels: the error type of each false positive; `error_types` has the definitions."""

import numpy as np

from services.contracts.events import ErrorType
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.error_types import BACKGROUND, FOREGROUND, TYPES
from services.domain.detection.match_kernels import overlap_of

_LOCALIZATION = TYPES.index(ErrorType.LOCALIZATION)
_CLASSIFICATION = TYPES.index(ErrorType.CLASSIFICATION)
_DUPLICATE = TYPES.index(ErrorType.DUPLICATE)
_BACKGROUND = TYPES.index(ErrorType.BACKGROUND)
_BOTH = TYPES.index(ErrorType.BOTH)


@compiled
def _error(
    overlaps: FloatArray, category: int, truth_categories: IntArray, used: BoolArray
) -> tuple[int, int]:  # pragma: no cover
    """The type of one false positive, and the ground truth that it is about, the first of equals.

    Parameters
    ----------
    overlaps : (G,) with each ground truth
    """
    own, other, twin = 0.0, 0.0, 0.0
    own_truth, other_truth, twin_truth = 0, 0, 0
    for g in range(overlaps.size):
        overlap = overlaps[g]
        if truth_categories[g] != category:
            if overlap > other:
                other, other_truth = overlap, g
            continue
        if overlap > own:
            own, own_truth = overlap, g
        if used[g] and overlap > twin:
            twin, twin_truth = overlap, g
    if BACKGROUND <= own <= FOREGROUND:
        return _LOCALIZATION, own_truth
    if other >= FOREGROUND:
        return _CLASSIFICATION, other_truth
    if twin >= FOREGROUND:
        return _DUPLICATE, twin_truth
    if max(own, other) <= BACKGROUND:
        return _BACKGROUND, -1
    return _BOTH, other_truth


@compiled
def of_overlaps(
    overlaps: FloatArray, categories: IntArray, truth_categories: IntArray, used: BoolArray
) -> tuple[IntArray, IntArray]:  # pragma: no cover
    """Classify N false positives by their (N, G) overlaps; see `errors_of_overlaps`."""
    kind = np.empty(categories.size, np.int64)
    truth = np.empty(categories.size, np.int64)
    for n in range(categories.size):
        kind[n], truth[n] = _error(overlaps[n], categories[n], truth_categories, used)
    return kind, truth


@compiled
def of_boxes(
    boxes: FloatArray,
    truths: FloatArray,
    ranges: IntArray,
    categories: IntArray,
    truth_categories: IntArray,
    used: BoolArray,
) -> tuple[IntArray, IntArray]:  # pragma: no cover
    """Classify N false positives, each among its own range of ground truths; `errors_of_boxes`."""
    kind = np.empty(categories.size, np.int64)
    truth = np.empty(categories.size, np.int64)
    row = np.empty(len(truths), np.float64)
    for n in range(categories.size):
        first, last = ranges[n]
        for g in range(first, last):
            row[g] = overlap_of(boxes[n], truths[g], False)
        on_frame = slice(first, last)
        kind[n], truth[n] = _error(
            row[on_frame], categories[n], truth_categories[on_frame], used[on_frame]
        )
    return kind, truth
