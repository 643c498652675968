"""95% intervals of mAP, and of the difference of two detectors, by resampling frames.

Frames are the sampling unit, so frames are resampled: each gets a Poisson(1) weight (the Poisson
bootstrap: Hanley and MacGibbon, 2006), the same for every category and every detector. Up to
EXACT_UP_TO, AP is recomputed under every draw of weights. Beyond, a first-order approximation gives
the width: AP changes by the sum of each frame's influence times the change of its weight, so its
deviation is the root of the sum of squared influences (the infinitesimal jackknife: Efron, 1982),
which takes one pass over any number of frames; a few draws give the bias.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypeVar

import numpy as np

from services.domain.arrays import AnyArray, BoolArray, FloatArray, IntArray
from services.domain.statistics.intervals import middle_95
from services.domain.statistics.significance import NORMAL_975

REPLICATES: Final = 400
EXACT_UP_TO: Final = 5_000_000
"""Detections times replicates; so many take a quarter of a second."""
_FEW: Final = 4
_SEED: Final = 95
_AT_50: Final = np.uint16(1)
"""The bit of the first IoU threshold."""
N = TypeVar("N", float, FloatArray)


@dataclass(frozen=True)
class Interval:
    """A value with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One category's matches of a detector, on some frames.

    Attributes
    ----------
    match_frame, match_part : (K,) int32 and uint8, frame number and part of each match
    truths : (K,) int64, its ground truths over all areas
    frame, part : (D,) int32 and uint8, of each detection, in COCO's order
    positive, counted : (D,) uint16, true positives and what is not ignored, IoU threshold t as
        bit t
    score : (D,) float32
    """

    match_frame: AnyArray
    match_part: AnyArray
    truths: IntArray
    frame: AnyArray
    part: AnyArray
    positive: AnyArray
    counted: AnyArray
    score: AnyArray

    @property
    def size(self) -> int:
        """The number of detections."""
        return int(self.frame.size)

    @property
    def counts(self) -> BoolArray:
        """(D,) whether each detection counts at IoU .5, as a true or a false positive."""
        return np.asarray(self.counted & _AT_50 > 0)

    @property
    def right(self) -> BoolArray:
        """(D,) whether each detection is a true positive at IoU .5."""
        return np.asarray(self.positive & _AT_50 > 0)

    def reaching(self, score: float) -> BoolArray:
        """(D,) whether each detection has this score or a higher one."""
        # Scores are kept as float32: the score is rounded alike.
        return np.asarray(self.score >= np.float32(score))

    def shown(self, score: float) -> BoolArray:
        """(D,) whether each detection counts at IoU .5 and reaches the score."""
        return self.reaching(score) & self.counts

    def of(self, parts: int) -> "Sample":
        """The matches in some parts, part p as bit p."""
        return self._taken(parts >> self.match_part & 1 == 1, parts >> self.part & 1 == 1)

    def on(self, frames: BoolArray) -> "Sample":
        """The matches of some frames: (F,) bool, by number."""
        return self._taken(frames[self.match_frame], frames[self.frame])

    def without(self, gone: BoolArray) -> "Sample":
        """The same without some detections: (D,) bool."""
        everything = np.ones(self.match_frame.size, np.bool_)
        return self._of(everything, ~gone)

    def renumbered(self, numbers: AnyArray) -> "Sample":
        """The same with other frame numbers: (F,) int32, by the present ones."""
        return replace(self, match_frame=numbers[self.match_frame], frame=numbers[self.frame])

    def _taken(self, matches: BoolArray, detections: BoolArray) -> "Sample":
        return self if matches.all() else self._of(matches, detections)

    def _of(self, matches: BoolArray, detections: BoolArray) -> "Sample":
        return Sample(
            *(column[matches] for column in (self.match_frame, self.match_part, self.truths)),
            *(column[detections] for column in (self.frame, self.part)),
            *(column[detections] for column in (self.positive, self.counted, self.score)),
        )


def matched_frames(samples: Iterable[Sample], frames: int) -> BoolArray:
    """(F,) whether each frame has a match in one of the samples.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    matched: BoolArray = np.zeros(frames, np.bool_)
    for sample in samples:
        matched[sample.match_frame] = True
    return matched


def interval(samples: Sequence[Sample], frames: int) -> Interval | None:
    """The mAP over some categories; None where no ground truth defines it.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    found = _interval([samples], frames)
    if found is None:
        return None
    # A pivotal interval may reach beyond what mAP can be.
    return Interval(found.value, max(found.low, 0.0), min(found.high, 1.0))


def mean_ap(samples: Iterable[Sample], frames: int) -> float:
    """The mAP over some categories, without an interval; NaN where no ground truth defines it.

    Parameters
    ----------
    frames : the number of frame numbers
    """
    return weighted_mean_ap(samples, np.ones(frames, np.int64))


def weighted_mean_ap(samples: Iterable[Sample], weights: IntArray) -> float:
    """The mAP over some categories under frame weights; NaN where no ground truth defines it.

    A category without ground truth on a frame of some weight is left out, as in pycocotools.

    Parameters
    ----------
    weights : (F,) not negative, by frame number
    """
    from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

    known = []
    for sample in samples:
        truths = int(weights[sample.match_frame] @ sample.truths)
        ap = resampling_kernels.weighted_ap(
            truths, sample.frame, sample.positive, sample.counted, weights
        )
        if not np.isnan(ap):
            known.append(float(ap))
    return sum(known) / len(known) if known else float("nan")


def add_influence(sample: Sample, keep: BoolArray, moved: FloatArray) -> float:
    """The AP of a category on some frames, NaN where it is undefined.

    Parameters
    ----------
    keep : (F,) bool, the frames, by number
    moved : (F,) the derivative of AP with respect to each frame's weight is added, if AP is defined
    """
    from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

    return resampling_kernels.influence(
        sample.match_frame,
        sample.truths,
        sample.frame,
        sample.positive,
        sample.counted,
        keep,
        moved,
    )


def difference(first: Sequence[Sample], second: Sequence[Sample], frames: int) -> Interval | None:
    """The first detector's mAP minus the second's; None where one is undefined.

    Both are computed under the same weights, so the variation of frame difficulty cancels.

    Parameters
    ----------
    first, second : on the frames with matches of both detectors
    frames : the number of frame numbers
    """
    return _interval([first, second], frames)


def _interval(detectors: Sequence[Sequence[Sample]], frames: int) -> Interval | None:
    detectors, frames = _numbered(detectors, frames)
    value = _value(detectors, np.ones(frames, np.int64))
    if np.isnan(value):
        return None
    if REPLICATES * sum(s.size for samples in detectors for s in samples) <= EXACT_UP_TO:
        # One at a time: all weights would take 3 kB per frame, also without detections.
        draws = np.array([_value(detectors, w) for w in _weights(frames, REPLICATES)])
        draws = draws[~np.isnan(draws)]
        low, high = middle_95(draws) if draws.size else (value, value)
        # A pivotal interval: the envelope favours repeated frames, so the draws are biased upward
        # from the value, as the value is from the truth.
        return Interval(value, 2 * value - high, 2 * value - low)
    moved = _minus([_influence(samples, frames) for samples in detectors])
    half = NORMAL_975 * float(np.sqrt(np.square(moved).sum()))
    weights = np.array(list(_weights(frames, _FEW)))
    draws = np.array([_value(detectors, w) for w in weights])
    draws, weights = draws[~np.isnan(draws)], weights[~np.isnan(draws)]
    # The remainder of a draw beyond first order is mostly that bias, and varies little.
    bias = float(np.mean(draws - value - (weights - 1) @ moved)) if draws.size else 0.0
    return Interval(value, value - bias - half, value - bias + half)


def _numbered(
    detectors: Sequence[Sequence[Sample]], frames: int
) -> tuple[Sequence[Sequence[Sample]], int]:
    """The samples with their own frames numbered without gaps, and how many these are.

    One category may be on some hundred of millions of frames, each of which would get weights.
    """
    seen = matched_frames(chain.from_iterable(detectors), frames)
    numbers = (np.cumsum(seen) - 1).astype(np.int32)
    renumbered = [[sample.renumbered(numbers) for sample in samples] for samples in detectors]
    return renumbered, int(seen.sum())


def _weights(frames: int, count: int) -> Iterator[IntArray]:
    """So many draws of the frames' weights, each (frames,)."""
    generator = np.random.default_rng(_SEED)
    return (generator.poisson(1, frames) for _ in range(count))


def _value(detectors: Sequence[Sequence[Sample]], weights: IntArray) -> float:
    """MAP, or the difference of two detectors', under frame weights; NaN where it is undefined."""
    return _minus([weighted_mean_ap(samples, weights) for samples in detectors])


def _influence(samples: Sequence[Sample], frames: int) -> FloatArray:
    """(frames,) the derivative of mAP with respect to each frame's weight."""
    moved = np.zeros(frames)
    everywhere = np.ones(frames, np.bool_)
    known = sum(not np.isnan(add_influence(sample, everywhere, moved)) for sample in samples)
    return moved / max(known, 1)


def _minus(values: Sequence[N]) -> N:
    return values[0] if len(values) == 1 else values[0] - values[1]
