"""Evidence, in the detections of a frame, of objects that its detector missed.

A missed object often has a detection below the operating score, or a badly localized one. So a
frame with many uncertain detections has more misses, mostly of small objects. An object that is
found on the frames before or after on the drive, and not on this one, is probably a miss too.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.identity import DriveId
from services.domain.arrays import FloatArray, IntArray

MIN_SCORE: Final = 0.05
"""Detections with lower scores are ignored."""
SMALL_SHARE: Final = 0.02
"""Largest share of the frame's area that a small detection has."""
NEAR_S: Final = 3.0
"""How far, in seconds, the frames before and after are from a frame."""


@dataclass(frozen=True)
class FrameSums:
    """What the detections of F frames add up to, in C categories.

    Attributes
    ----------
    uncertainty : (F, C), the sum of `score * (1 - score)`: the variance of the number of objects,
        if scores were probabilities
    small : (F, C), the summed score of small detections
    shown : (F, C), the number at or above the operating score
    all_uncertainty, all_small : (F,), over all categories of the detector
    drives : F, None where the frame has no drive
    seconds : (F,), when each frame was captured
    """

    uncertainty: FloatArray
    small: FloatArray
    shown: FloatArray
    all_uncertainty: FloatArray
    all_small: FloatArray
    drives: Sequence[DriveId | None]
    seconds: FloatArray


def added_by(
    score: float, area: float, frame_area: float, operating_score: float
) -> tuple[float, float, bool]:
    """What one detection adds to its frame's and category's `uncertainty`, `small` and `shown`.

    Parameters
    ----------
    area : of its box, in square pixels as that of the frame
    """
    if score < MIN_SCORE:
        return 0.0, 0.0, False
    is_small = area < SMALL_SHARE * frame_area
    return score * (1 - score), score * is_small, score >= operating_score


def evidence(sums: FrameSums) -> FloatArray:
    """The features of each frame and category.

    Columns: log(1 + x) for the uncertainty and for the small detections, of the category and of
    all categories; then the log ratio of what is shown within three seconds after, and before, to
    what is shown now (0 without such frames).

    Returns
    -------
    (F, C, 6) float64
    """
    own = np.stack([sums.uncertainty, sums.small], axis=-1)
    of_all = np.stack([sums.all_uncertainty, sums.all_small], axis=-1)[:, None, :]
    of_all = np.broadcast_to(of_all, own.shape)
    return np.concatenate([np.log1p(own), np.log1p(of_all), _changes(sums)], axis=-1)


def _changes(sums: FrameSums) -> FloatArray:
    """(F, C, 2): the log ratio of what neighbours after, and before, show to what is shown now."""
    changes = np.zeros((*sums.shown.shape, 2))
    for places in _drives(sums.drives):
        order = places[np.argsort(sums.seconds[places], kind="stable")]
        seconds, shown = sums.seconds[order], sums.shown[order]
        after = (
            np.searchsorted(seconds, seconds, "right"),
            np.searchsorted(seconds, seconds + NEAR_S, "right"),
        )
        before = (
            np.searchsorted(seconds, seconds - NEAR_S, "left"),
            np.searchsorted(seconds, seconds, "left"),
        )
        for column, (first, last) in enumerate((after, before)):
            changes[order, :, column] = _log_ratio(shown, first, last)
    return changes


def _drives(drives: Sequence[DriveId | None]) -> list[IntArray]:
    """The frames of each drive; frames without one have no neighbours."""
    places: defaultdict[DriveId, list[int]] = defaultdict(list)
    for place, drive in enumerate(drives):
        if drive is not None:
            places[drive].append(place)
    return [np.array(frames) for frames in places.values()]


def _log_ratio(shown: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    """(D, C): log1p of the mean over rows `first` to `last - 1`, less log1p of the own row."""
    sums = np.concatenate([np.zeros((1, shown.shape[1])), shown.cumsum(axis=0)])
    neighbours = (last - first)[:, None]
    mean = (sums[last] - sums[first]) / np.maximum(neighbours, 1)
    return np.where(neighbours > 0, np.log1p(mean) - np.log1p(shown), 0.0)
