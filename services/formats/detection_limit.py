"""The limit on detections per frame: on every input path, the highest scores are kept.

Without it, one frame of a detector that runs without a score threshold or non-maximum suppression
costs as much as thousands of frames. COCO's metrics count at most 100 detections of a category on
a frame.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from services.contracts.events import Detection
from services.formats.adjustments import Adjustment
from services.formats.items import FrameItem
from services.runtime.observability import metrics

T = TypeVar("T")


def highest_scored(items: Sequence[T], score: Callable[[T], float], most: int) -> tuple[T, ...]:
    """The `most` items with the highest scores, in their original order; ties keep the first."""
    if len(items) <= most:
        return tuple(items)
    order = np.argsort([-score(item) for item in items], kind="stable")
    return tuple(items[place] for place in np.sort(order[:most]).tolist())


def within_limit(item: FrameItem, most: int, way: str) -> FrameItem:
    """The frame with at most `most` detections; dropped ones are counted as an adjustment."""
    if item.detections is None or len(item.detections) <= most:
        return item
    highest = highest_scored(item.detections, lambda detection: detection.value.score, most)
    left_out = len(item.detections) - most
    count_left_out(left_out, way)
    adjustments = Counter(item.adjustments)
    adjustments[Adjustment.DETECTIONS_OVER_LIMIT] += left_out
    return replace(item, detections=highest, adjustments=adjustments)


def strongest(detections: tuple[Detection, ...], most: int) -> tuple[Detection, ...]:
    """The `most` detections with the highest scores, in their original order."""
    return highest_scored(detections, lambda detection: detection.score, most)


def count_left_out(count: int, way: str) -> None:
    """Add dropped detections to the metric."""
    if count:
        metrics.DETECTIONS_LEFT_OUT.labels(way).inc(count)
