"""Counts of each frame from the operating scores on, at IoU .5."""

from collections.abc import Sequence

import numpy as np

from services.domain.arrays import FloatArray
from services.domain.statistics.resampling import Sample


def operating_counts(
    samples: Sequence[Sample], operating: Sequence[float], frames: int
) -> FloatArray:
    """(F, 3) true positives, shown detections and ground truths of each frame.

    Parameters
    ----------
    operating : the operating score of each sample
    frames : F, the number of frame numbers
    """
    counts = np.zeros((frames, 3))
    for sample, score in zip(samples, operating, strict=True):
        shown = sample.shown(score)
        np.add.at(counts[:, 0], sample.frame[shown & sample.right], 1)
        np.add.at(counts[:, 1], sample.frame[shown], 1)
        np.add.at(counts[:, 2], sample.match_frame, sample.truths)
    return counts
