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
from services.domain.detection.coco import FloatArray, IntArray

LEAST_SCORE: Final = 0.05
"""Detections with lower scores are ignored."""
SMALL_SHARE: Final = 0.02
"""Largest share of the frame's area that a small detection has."""
NEAR_S: Final = 3.0
"""How far, in seconds, the frames before and after are from a frame."""


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


def sums_of(frames: DetectedFrames, operating_score: float) -> FrameSums:
    """What the detections add up to."""
    counts = frames.scores >= LEAST_SCORE
    share = frames.boxes[:, 2] * frames.boxes[:, 3] / frames.areas[frames.frame]
    uncertainty, small, shown = (
        _summed(frames, np.where(condition, weight, 0.0))
        for condition, weight in (
            (counts, frames.scores * (1 - frames.scores)),
            (counts & (share < SMALL_SHARE), frames.scores),
            (frames.scores >= operating_score, np.ones(len(frames.scores))),
        )
    )
    return FrameSums(
        uncertainty,
        small,
        shown,
        uncertainty.sum(axis=1),
        small.sum(axis=1),
        frames.drives,
        frames.seconds,
    )


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


def _summed(frames: DetectedFrames, weights: FloatArray) -> FloatArray:
    """(F, C), the weights of each frame's detections, by category."""
    count, categories = len(frames.areas), frames.categories
    sums: FloatArray = np.zeros(count * categories)
    places = frames.frame * categories + frames.category
    sums += np.bincount(places, weights, minlength=count * categories)
    return sums.reshape(count, categories)


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
