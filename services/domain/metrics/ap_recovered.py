"""AP recovered: what mAP of the haystack gains once the false positives on some frames are gone.

False positives are those at IoU .5, whatever their score; mAP is over all IoU thresholds. Listed
frames are compared with as many random frames, and with as many frames of the highest scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.identity import Category
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.metrics.subsets import SHORTLISTED, Subset
from services.domain.statistics.resampling import (
    Interval,
    Sample,
    difference,
    matched_frames,
    mean_ap,
)

_DRAWS: Final = 20
_SEED: Final = 95


@dataclass(frozen=True)
class ApRecovered:
    """AP recovered by repairing equally many haystack frames.

    Attributes
    ----------
    frames : the number of shortlisted frames with ground truth
    shortlisted : with its 95% interval, from resampling frames
    random : the mean over random draws
    highest : by the frames with the highest scores
    """

    frames: int
    shortlisted: Interval
    random: float
    highest: float


def ap_recovered(samples: Sequence[Sample], frames: int) -> ApRecovered | None:
    """AP recovered by the shortlisted frames; None without any, or without ground truth in H.

    Parameters
    ----------
    samples : one per category, over all parts
    frames : the number of frame numbers
    """
    haystack = [sample.of(Subset.H.word) for sample in samples]
    seen, listed = matched_frames(haystack, frames), np.zeros(frames, np.bool_)
    for sample in haystack:
        listed[sample.match_frame[sample.match_part == SHORTLISTED]] = True
    count = int(listed.sum())
    gained = difference(_repaired(haystack, listed), haystack, frames) if count else None
    if gained is None:
        return None
    before = mean_ap(haystack, frames)
    pool, draw = np.flatnonzero(seen), np.random.default_rng(_SEED)
    drawn = [draw.choice(pool, count, replace=False) for _ in range(_DRAWS)]
    surest = np.argsort(-_highest_scores(haystack, frames)[pool], kind="stable")[:count]

    def recovered(numbers: IntArray) -> float:
        chosen = np.zeros(frames, np.bool_)
        chosen[numbers] = True
        return mean_ap(_repaired(haystack, chosen), frames) - before

    return ApRecovered(
        frames=count,
        shortlisted=gained,
        random=float(np.mean([recovered(numbers) for numbers in drawn])),
        highest=recovered(pool[surest]),
    )


@dataclass(frozen=True)
class RepairGain:
    """AP recovered by repairing some haystack frames.

    Attributes
    ----------
    frames : those with ground truth
    ap : the mean over the repaired categories
    map : the mean over all categories
    """

    frames: int
    ap: float
    map: float


def repair_gains(
    samples: Mapping[Category, Sample],
    repaired: Mapping[str, tuple[Category | None, BoolArray]],
) -> dict[str, RepairGain]:
    """What repairing each of these sets of frames gains; none without ground truth on a frame.

    Parameters
    ----------
    samples : over all parts
    repaired : by name, the category whose false positives are repaired, None for every one, and
        the frames, (F,) bool
    """
    if not repaired:
        return {}
    size = next(iter(repaired.values()))[1].size
    haystack = {name: sample.of(Subset.H.word) for name, sample in samples.items()}
    seen = matched_frames(haystack.values(), size)
    before = {name: mean_ap([sample], size) for name, sample in haystack.items()}
    defined = [name for name, ap in before.items() if not math.isnan(ap)]
    found = {}
    for key, (category, frames) in repaired.items():
        chosen = [name for name in defined if category in (None, name)]
        count = int((seen & frames).sum())
        if count and chosen:
            after = (mean_ap(_repaired([haystack[name]], frames), size) for name in chosen)
            gained = sum(ap - before[name] for name, ap in zip(chosen, after, strict=True))
            found[key] = RepairGain(count, gained / len(chosen), gained / len(defined))
    return found


def _repaired(samples: Sequence[Sample], frames: BoolArray) -> list[Sample]:
    """The samples without the false positives on these frames: (F,) bool."""
    return [
        sample.without(sample.counts & ~sample.right & frames[sample.frame]) for sample in samples
    ]


def _highest_scores(samples: Sequence[Sample], frames: int) -> FloatArray:
    """(F,), the highest score on each frame; below 0 without detections."""
    highest = np.full(frames, -1.0)
    for sample in samples:
        np.maximum.at(highest, sample.frame, sample.score.astype(np.float64))
    return highest
