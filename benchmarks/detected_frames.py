"""What a detector reported on some frames, and what that adds up to as evidence of misses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import DriveId
from services.domain.arrays import FloatArray, IntArray
from services.domain.missed.evidence import FrameSums, added_by


@dataclass(frozen=True)
class DetectedFrames:
    """All detections of one detector on F frames.

    Attributes
    ----------
    frame : (N,) int64, index of each detection's frame
    category : (N,) int64, from 0 to `categories - 1`
    scores : (N,) float64
    boxes : (N, 4) float64, [x, y, width, height] in pixels
    areas : (F,) float64, of the frames, in square pixels
    drives : F, None where the frame has no drive
    seconds : (F,) float64, when each frame was captured
    """

    frame: IntArray
    category: IntArray
    scores: FloatArray
    boxes: FloatArray
    areas: FloatArray
    drives: Sequence[DriveId | None]
    seconds: FloatArray
    categories: int


def sums_of(frames: DetectedFrames, operating_score: float) -> FrameSums:
    """What the detections add up to."""
    sums = np.zeros((len(frames.areas), frames.categories, 3))
    areas = frames.boxes[:, 2] * frames.boxes[:, 3]
    for frame, category, score, area in zip(
        frames.frame, frames.category, frames.scores.tolist(), areas.tolist(), strict=True
    ):
        sums[frame, category] += added_by(score, area, frames.areas[frame], operating_score)
    uncertainty, small, shown = np.moveaxis(sums, -1, 0)
    return FrameSums(
        uncertainty,
        small,
        shown,
        uncertainty.sum(axis=1),
        small.sum(axis=1),
        frames.drives,
        frames.seconds,
    )
