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

from services.contracts.events import FALSE_POSITIVES
from services.domain.arrays import BoolArray, FloatArray, IntArray

FOREGROUND: Final = 0.5
BACKGROUND: Final = 0.1
TYPES: Final = FALSE_POSITIVES
_PAIRS_AT_ONCE: Final = 1 << 18
"""Pairs of a false positive's mask and a ground truth's that are compared at once."""
_NO_ROWS: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Errors:
    """The errors of some false positives.

    Attributes
    ----------
    kind : (N,) int64, index in `TYPES`
    truth : (N,) int64, the ground truth of its frame that was confused or badly localized; -1 for
        background
    """

    kind: IntArray
    truth: IntArray

    def __len__(self) -> int:
        return self.kind.size


def errors_of_boxes(
    boxes: FloatArray,
    truths: FloatArray,
    ranges: IntArray,
    categories: IntArray,
    truth_categories: IntArray,
    *,
    used: BoolArray,
) -> Errors:
    """Classify false positives of any number of frames by their boxes.

    Parameters
    ----------
    boxes, truths : (N, 4) and (G, 4), of the false positives, and of the ground truths that count
    ranges : (N, 2), the range of the ground truths that are on the false positive's frame
    categories, truth_categories : (N,) and (G,)
    used : (G,) bool, whether a detection of its own category matched the ground truth

    Returns
    -------
    The errors, whose `truth` counts from the beginning of that range.
    """
    from services.domain.detection import error_kernels  # noqa: PLC0415  # see compiled.py

    return Errors(
        *error_kernels.of_boxes(boxes, truths, ranges, categories, truth_categories, used)
    )


def errors_of_overlaps(
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
    from services.domain.detection import error_kernels  # noqa: PLC0415  # see compiled.py

    # In chunks of rows, because the pairs of a crowded frame take gigabytes.
    rows = max(1, _PAIRS_AT_ONCE // max(1, truth_categories.size))
    kinds, truths = [_NO_ROWS], [_NO_ROWS]
    for start in range(0, categories.size, rows):
        at = slice(start, start + rows)
        kind, truth = error_kernels.of_overlaps(
            overlaps(at), categories[at], truth_categories, used
        )
        kinds.append(kind)
        truths.append(truth)
    return Errors(np.concatenate(kinds), np.concatenate(truths))
