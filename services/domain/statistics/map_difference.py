"""The mAP on some frames against that on the others, and whether they differ."""

from collections.abc import Sequence

import numpy as np

from services.domain.detection.coco import BoolArray
from services.domain.statistics.resampling import Sample
from services.domain.statistics.significance import normal_p_value


def map_difference(samples: Sequence[Sample], own_frames: BoolArray) -> tuple[float, float]:
    """The mAP on some frames minus that on the others, and the p-value of no difference.

    Over the categories that both have. The statistic is the difference over its standard error, of
    first order in the frames' weights (see `resampling`), and normal.

    Parameters
    ----------
    samples : one per category
    own_frames : (F,) bool, by frame number
    """
    from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

    total, known = 0.0, 0
    moved = np.zeros(own_frames.size)
    for sample in samples:
        aps, outs = [], []
        for keep in (own_frames, ~own_frames):
            outs.append(np.zeros(own_frames.size))
            ap = resampling_kernels.influence(
                sample.match_frame,
                sample.truths,
                sample.frame,
                sample.positive,
                sample.counted,
                keep,
                outs[-1],
            )
            aps.append(ap)
        if not np.isnan(aps).any():
            total += aps[0] - aps[1]
            known += 1
            moved += outs[0] - outs[1]
    deviation = float(np.sqrt(np.square(moved).sum()))
    if not known or not deviation:
        return 0.0, 1.0
    return total / known, normal_p_value(total / deviation)
