"""Precision on frames without ground truth, estimated from how probably each detection is wrong.

The estimate of a slice is the mean probability that its detections are right. Its variance has
three parts: chance, given the probabilities; the correlation of detections within a drive, which
the model does not see; and the choice of annotated drives, which determines the weights. The second
is the excess variance of residuals over independent ones on annotated drives (method of moments).

No interval is given where it would be too narrow: with too few annotated drives to know how drives
differ, and with too few detections. Where too many frames look like nothing that is annotated (see
embedding_drift.py), a model can only guess, so there is no estimate at all.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.metrics.embedding_drift import AnnotatedEmbeddings, unlike_share
from services.domain.metrics.slice_pairs import Tag
from services.domain.mining.error_probability import (
    ClusteredDetections,
    ErrorProbability,
    FittedErrors,
    Predicted,
    fit_errors,
)
from services.domain.statistics.clusters import share_of_clusters, sums_by_cluster
from services.domain.statistics.resampling import Interval
from services.domain.statistics.significance import student_975

MIN_EXAMPLES: Final = 100
MIN_CLUSTERS: Final = 8
MIN_DETECTIONS: Final = 50
MAX_SLICES: Final = 200
"""Those with the most frames."""
MAX_SHOWN: Final = 30
MAX_UNLIKE_SHARE: Final = 0.2
"""With a larger share of frames that look like nothing annotated, there is no estimate. On the
survey, it was .41 with a changed camera, where half of the intervals missed the true value, and at
most .16 without drift (docs/measurements/estimated-precision.md)."""
_NEVER_ZERO: Final = 1e-12


class NoInterval(StrEnum):
    """Why an estimate has no interval."""

    FEW_ANNOTATED = "few_annotated"
    """Too few annotated drives."""
    FEW_DETECTIONS = "few_detections"
    """Too few detections in the slice."""
    UNLIKE_ANNOTATED = "unlike_annotated"
    """Too many of the slice's frames look like nothing annotated; there is no estimate either."""


@dataclass(frozen=True)
class SampledFrames:
    """F frames that a detector has processed.

    Attributes
    ----------
    vectors : (F, D) float32, unit length, of the whole frames
    clusters : (F,) int64, a number per drive
    annotated, reference : (F,) bool
    tags : F
    """

    vectors: Vectors
    clusters: IntArray
    annotated: BoolArray
    reference: BoolArray
    tags: Sequence[Sequence[Tag]]


@dataclass(frozen=True)
class SampledDetections:
    """N detections with vectors on these frames.

    Attributes
    ----------
    detections : N
    frame : (N,) int64, the number of its frame
    shown : (N,) bool, whether it has the operating score or more
    wrong : (N,) bool; meaningless where the frame is not annotated
    """

    detections: ClusteredDetections
    frame: IntArray
    shown: BoolArray
    wrong: BoolArray


@dataclass(frozen=True)
class EstimatedSlice:
    """The unannotated frames with a tag.

    Attributes
    ----------
    tag : None for all of them
    detections : from the operating score on
    precision : of these, estimated; None where its frames look like nothing annotated
    interval : 95%; None where `no_interval` gives the reason
    drift : the share of frames that look like nothing annotated; None with a single drive
    """

    tag: Tag | None
    frames: int
    detections: int
    precision: float | None
    interval: Interval | None
    no_interval: NoInterval | None
    drift: Interval | None

    @property
    def name(self) -> str:
        """The tag as text, such as `weather=rain`; `all` of all frames."""
        return "all" if self.tag is None else "=".join(self.tag)


@dataclass(frozen=True)
class EstimatedStream:
    """What is estimated of a detector's unannotated frames.

    Attributes
    ----------
    reference : precision on the reference, measured
    slices : all frames, then the tags with the lowest upper bounds
    """

    reference: Interval | None
    slices: Sequence[EstimatedSlice]

    def is_worse(self, part: EstimatedSlice) -> bool:
        """Whether a slice's interval is below that of the reference."""
        if self.reference is None or part.interval is None:
            return False
        return part.interval.high < self.reference.low


def estimate_stream(frames: SampledFrames, sampled: SampledDetections) -> EstimatedStream | None:
    """Estimate precision on the frames without annotations.

    None with fewer than MIN_EXAMPLES annotated detections from the operating score on, and where
    all of them are right, or all wrong.
    """
    labelled = frames.annotated[sampled.frame]
    counted = labelled & sampled.shown
    if counted.sum() < MIN_EXAMPLES or np.unique(sampled.wrong[counted]).size == 1:
        return None
    examples = sampled.detections.on(labelled)
    fitted = fit_errors(examples, sampled.wrong[labelled], sampled.shown[labelled])
    estimator = _Estimator.of(fitted, frames, sampled)
    slices = [estimator.slice(tag, members) for tag, members in _slices_of(frames).items()]
    known = [part for part in slices if part is not None]
    overall = estimator.slice(None, ~frames.annotated)
    first = [] if overall is None else [overall]
    on_reference = frames.reference[sampled.frame] & sampled.shown
    return EstimatedStream(
        share_of_clusters(
            (~sampled.wrong[on_reference]).astype(np.float64),
            np.ones(int(on_reference.sum())),
            sampled.detections.clusters[on_reference],
        ),
        [*first, *sorted(known, key=_rank)][:MAX_SHOWN],
    )


def _rank(part: EstimatedSlice) -> tuple[int, float, str]:
    """By the upper bound, then slices with an estimate alone by it, then the others by drift."""
    if part.interval is not None:
        return 0, part.interval.high, part.name
    if part.precision is not None:
        return 1, part.precision, part.name
    return 2, -part.drift.value if part.drift is not None else 0.0, part.name


def _slices_of(frames: SampledFrames) -> Mapping[Tag, BoolArray]:
    """(F,) bool by tag, of unannotated frames."""
    numbers: defaultdict[Tag, list[int]] = defaultdict(list)
    for number in np.flatnonzero(~frames.annotated).tolist():
        for tag in frames.tags[number]:
            numbers[tag].append(number)
    members = {}
    for tag in sorted(numbers, key=lambda tag: (-len(numbers[tag]), tag))[:MAX_SLICES]:
        members[tag] = np.zeros(len(frames.clusters), np.bool_)
        members[tag][numbers[tag]] = True
    return members


@dataclass(frozen=True)
class Residuals:
    """How far outcomes on annotated drives are from their probabilities.

    Attributes
    ----------
    dispersion : their variance, as a multiple of that of independent draws
    common : the variance of what the detections of a drive have in common
    clusters : the number of drives
    """

    dispersion: float
    common: float
    clusters: int

    @classmethod
    def of(cls, fitted: FittedErrors) -> Self:
        """Those of a model's examples."""
        expected = float((fitted.wrong * (1 - fitted.wrong)).sum())
        squares = float((fitted.residuals**2).sum())
        sums = sums_by_cluster(fitted.residuals, fitted.clusters)
        pairs = _pairs(fitted.clusters)
        common = (float((sums**2).sum()) - squares) / max(pairs, 1.0)
        return cls(squares / max(expected, _NEVER_ZERO), max(0.0, common), len(sums))

    def variance(self, wrong: FloatArray, clusters: IntArray) -> float:
        """The variance of the mean outcome of (N,) detections with these probabilities."""
        chance = self.dispersion * float((wrong * (1 - wrong)).sum())
        return (chance + self.common * _pairs(clusters)) / wrong.size**2


def _pairs(clusters: IntArray) -> float:
    """How many ordered pairs of detections share a drive."""
    sizes = np.unique(clusters, return_counts=True)[1].astype(np.float64)
    return float((sizes * (sizes - 1)).sum())


@dataclass(frozen=True)
class _Estimator:
    """What estimates of slices need.

    Attributes
    ----------
    predicted, frame : of the detections that slices count
    unlike : (F,), whether a frame looks like nothing annotated; None with a single drive
    """

    model: ErrorProbability
    residuals: Residuals
    predicted: Predicted
    frame: IntArray
    clusters: IntArray
    unlike: BoolArray | None

    @classmethod
    def of(cls, fitted: FittedErrors, frames: SampledFrames, sampled: SampledDetections) -> Self:
        counted = sampled.shown & ~frames.annotated[sampled.frame]
        known = AnnotatedEmbeddings.of(
            frames.vectors[frames.annotated], frames.clusters[frames.annotated]
        )
        return cls(
            fitted.model,
            Residuals.of(fitted),
            fitted.model.of(sampled.detections.on(counted)),
            sampled.frame[counted],
            frames.clusters,
            None if known is None else known.unlike(frames.vectors, frames.clusters),
        )

    def slice(self, tag: Tag | None, members: BoolArray) -> EstimatedSlice | None:
        """The estimate of these frames, (F,) bool; None without detections on them."""
        rows = members[self.frame]
        if not rows.any():
            return None
        predicted, clusters = self.predicted.on(rows), self.clusters[self.frame[rows]]
        value = 1 - float(predicted.wrong.mean())
        drifted = None
        if self.unlike is not None:
            drifted = unlike_share(self.unlike[members], self.clusters[members])
        why = self._no_interval(len(clusters), drifted)
        return EstimatedSlice(
            tag=tag,
            frames=int(members.sum()),
            detections=len(clusters),
            precision=None if why is NoInterval.UNLIKE_ANNOTATED else value,
            interval=None if why else self._interval(value, predicted, clusters),
            no_interval=why,
            drift=drifted,
        )

    def _no_interval(self, detections: int, drifted: Interval | None) -> NoInterval | None:
        if drifted is not None and drifted.value > MAX_UNLIKE_SHARE:
            return NoInterval.UNLIKE_ANNOTATED
        if self.residuals.clusters < MIN_CLUSTERS:
            return NoInterval.FEW_ANNOTATED
        if detections < MIN_DETECTIONS:
            return NoInterval.FEW_DETECTIONS
        return None

    def _interval(self, value: float, predicted: Predicted, clusters: IntArray) -> Interval:
        variance = self.residuals.variance(predicted.wrong, clusters)
        variance += self.model.variance(predicted)
        half = student_975(self.residuals.clusters - 1) * math.sqrt(variance)
        return Interval(value, max(0.0, value - half), min(1.0, value + half))
