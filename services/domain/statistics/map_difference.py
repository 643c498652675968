"""Differences of mAP, between frames or between detectors, and whether they are significant.

The statistic is the difference over its standard error, of first order in the frames' weights (see
`resampling`), and normal.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from services.domain.arrays import BoolArray
from services.domain.statistics.resampling import Sample, add_influence
from services.domain.statistics.significance import normal_p_value

_Part = tuple[Sample, BoolArray]
"""One category's matches, and which frames count, (F,) by frame number."""


def map_difference(samples: Sequence[Sample], own_frames: BoolArray) -> tuple[float, float]:
    """The mAP on some frames minus that on the others, and the p-value of no difference.

    Over the categories that both have.

    Parameters
    ----------
    samples : one per category
    own_frames : (F,) bool, by frame number
    """
    pairs = [((sample, own_frames), (sample, ~own_frames)) for sample in samples]
    return _difference(pairs, own_frames.size)


def version_difference(
    pairs: Sequence[tuple[Sample, Sample]], own_frames: BoolArray
) -> tuple[float, float]:
    """The mAP of one detector minus another's on the same frames, and the p-value of none.

    Over the categories that both have. Frames are paired: what is hard for both cancels.

    Parameters
    ----------
    pairs : per category, the matches of the first and the second detector
    own_frames : (F,) bool, by frame number; the others do not count
    """
    parts = [((first, own_frames), (second, own_frames)) for first, second in pairs]
    return _difference(parts, own_frames.size)


def _difference(pairs: Iterable[tuple[_Part, _Part]], frames: int) -> tuple[float, float]:
    total, known = 0.0, 0
    moved = np.zeros(frames)
    for pair in pairs:
        aps, outs = [], []
        for sample, keep in pair:
            outs.append(np.zeros(frames))
            aps.append(add_influence(sample, keep, outs[-1]))
        if not np.isnan(aps).any():
            total += aps[0] - aps[1]
            known += 1
            moved += outs[0] - outs[1]
    if not known:
        return 0.0, 1.0
    deviation = float(np.sqrt(np.square(moved).sum()))
    if not deviation:  # no frame moves the difference: all on one side are alike
        return total / known, 0.0 if total else 1.0
    return total / known, normal_p_value(total / deviation)
