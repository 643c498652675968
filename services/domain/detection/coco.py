"""COCO's evaluation settings, as `Params.setDetParams` in pycocotools/cocoeval.py has them.

A setting is an area range and an IoU threshold; it is bit `10 * area + threshold` of a match's
40-bit words. Bit 0 is all areas at IoU .5, at which errors are also classified.
"""

from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from services.domain.arrays import BitsArray, FloatArray

THRESHOLDS: Final[FloatArray] = np.linspace(0.5, 0.95, 10)
"""(10,) IoU from which a detection matches. linspace, as there: arange ends above .95."""
AREAS: Final = ("all", "small", "medium", "large")
AREA_RANGES: Final[FloatArray] = np.array([[0, 1e10], [0, 1024], [1024, 9216], [9216, 1e10]])
"""(4, 2) square pixels, both ends included."""
RECALLS: Final[FloatArray] = np.linspace(0.0, 1.0, 101)
"""(101,) recalls at which precision is read."""
MAX_DETECTIONS: Final = 100
"""Most detections of one category that count on one frame."""
BITS: Final = len(AREAS) * THRESHOLDS.size
METRICS: Final = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
"""The twelve COCO numbers, in the order in which `COCOeval.summarize` prints them."""


def bits(words: Sequence[int]) -> BitsArray:
    """40-bit words as (N,) uint64."""
    return np.array(words, dtype=np.uint64)


def whole(words: BitsArray) -> tuple[int, ...]:
    """(N,) uint64 as Python's own ints, which JSON keeps exactly below 2**53."""
    return tuple(cast(list[int], words.tolist()))
