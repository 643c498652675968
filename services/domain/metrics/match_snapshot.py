"""The matches at one moment, for what takes seconds: intervals, differences and drift."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from services.contracts.identity import Category, DetectorId, VehicleId
from services.domain.arrays import AnyArray
from services.domain.metrics.drift import Drift, Fleet, drift
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import (
    Interval,
    Sample,
    difference,
    interval,
    matched_frames,
)

Curve = tuple[DetectorId, Category]
"""The precision-recall curve of one detector on one category, which name it."""
MIN_FRAMES: Final = 10
"""Frames with ground truth of a category from which its AP has an interval. With fewer, resampled
frames are much the same ones, and the interval is too narrow."""


@dataclass(frozen=True)
class MatchSnapshot:
    """The matches of all curves.

    Attributes
    ----------
    samples : by curve
    vehicle : (F,) int32, index in `vehicles` of each frame number; -1 if not known
    """

    samples: Mapping[Curve, Sample]
    vehicle: AnyArray
    vehicles: Sequence[VehicleId]

    def detectors(self) -> list[DetectorId]:
        """All detectors, sorted."""
        return [*self._by_detector]

    def interval(self, detector: DetectorId, subset: Subset) -> Interval | None:
        """A detector's mAP with its 95% interval; None where it is undefined."""
        return interval(self._of(detector, subset), self.vehicle.size)

    def category_interval(self, curve: Curve, subset: Subset) -> Interval | None:
        """A category's AP with its 95% interval; None if it is on too few frames."""
        sample = self.samples[curve].of(subset.word)
        if np.count_nonzero(sample.truths) < MIN_FRAMES:
            return None
        return interval([sample], self.vehicle.size)

    def difference(self, first: DetectorId, second: DetectorId, subset: Subset) -> Interval | None:
        """The mAP of the first detector minus the second's, on frames with matches of both."""
        new, old = self._of(first, subset), self._of(second, subset)
        frames = self.vehicle.size
        both = matched_frames(new, frames) & matched_frames(old, frames)
        new, old = ([sample.on(both) for sample in samples] for samples in (new, old))
        return difference(new, old, frames)

    def drift(self, detector: DetectorId, subset: Subset = Subset.ALL) -> list[Drift]:
        """The drift of each vehicle against the rest of the fleet."""
        return drift(Fleet(self._of(detector, subset), self.vehicle, self.vehicles))

    def _of(self, detector: DetectorId, subset: Subset) -> list[Sample]:
        """The samples of a detector's categories, on a subset."""
        return [sample.of(subset.word) for sample in self._by_detector.get(detector, ())]

    @cached_property
    def _by_detector(self) -> Mapping[DetectorId, Sequence[Sample]]:
        """The samples of each detector by category; all in order."""
        found: defaultdict[DetectorId, list[Sample]] = defaultdict(list)
        for (detector, _), sample in sorted(self.samples.items(), key=lambda item: item[0]):
            found[detector].append(sample)
        return dict(found)
