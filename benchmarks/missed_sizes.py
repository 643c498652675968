"""Evidence of missed objects by their size."""

from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.detected_frames import DetectedFrames, sums_of
from services.domain.arrays import FloatArray
from services.domain.detection.coco import AREA_RANGES
from services.domain.missed.evidence import evidence

SIZES: Final = len(AREA_RANGES) - 1
"""COCO's small, medium and large."""


def evidence_by_size(frames: DetectedFrames, operating_score: float) -> FloatArray:
    """The features of each frame, category and size of object.

    Columns: log(1 + x) for the summed uncertainty and for the number shown among detections of
    this size; then those of `evidence`.

    Returns
    -------
    (F, C * 3, 8) float64; of each category small, medium and large
    """
    area = frames.boxes[:, 2] * frames.boxes[:, 3]
    size = np.minimum(np.searchsorted(AREA_RANGES[1:, 1], area), SIZES - 1)
    of_size = replace(
        frames, category=frames.category * SIZES + size, categories=frames.categories * SIZES
    )
    sums = sums_of(of_size, operating_score)
    own = np.log1p(np.stack([sums.uncertainty, sums.shown], axis=-1))
    of_category = np.repeat(evidence(sums_of(frames, operating_score)), SIZES, axis=1)
    return np.concatenate([own, of_category], axis=-1)
