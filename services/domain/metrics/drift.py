"""Drift: vehicles whose frames differ from the rest of the fleet in scores, classes or mAP.

Each vehicle is compared with all others together, by three tests:

- scores: the Kolmogorov-Smirnov test of the detections' scores; effect: the largest distance
- classes: the chi-squared test of homogeneity of the detections' categories; effect: the total
  variation distance
- mAP: the difference over its standard error, of first order in the frames' weights (see
  resampling.py), over the categories that both have; effect: the difference

Detections on one frame are correlated, so the first two tests count a frame as one observation,
which makes them conservative. A vehicle drifts if its p-value is below 5% after Holm's correction
over all tests. Only vehicles with enough frames are tested, and at most MAX_VEHICLES, which bounds
the number of metric series.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from services.contracts.identity import VehicleId
from services.domain.arrays import AnyArray, IntArray
from services.domain.statistics.map_difference import map_difference
from services.domain.statistics.resampling import Sample, matched_frames
from services.domain.statistics.significance import (
    chi_squared_p_value,
    holm_rejected,
    kolmogorov_smirnov_p_value,
)

MAX_VEHICLES: Final = 50
MIN_FRAMES: Final = 30
LEVEL: Final = 0.05
_BINS: Final = 200
_EXPECTED: Final = 5.0
"""Cochran's rule: fewer expected observations than this are pooled."""


class DriftMeasure(StrEnum):
    """The quantities that are tested."""

    SCORES = "scores"
    CLASSES = "classes"
    MAP = "map"


@dataclass(frozen=True)
class Drift:
    """One vehicle against the rest of the fleet."""

    vehicle: VehicleId
    measure: DriftMeasure
    effect: float
    p_value: float
    drifts: bool


@dataclass(frozen=True)
class Fleet:
    """A detector's matches, and which vehicle took which frame.

    Attributes
    ----------
    samples : one per category
    vehicle : (F,) int32, index in `names` of each frame number, -1 where it is not known
    """

    samples: Sequence[Sample]
    vehicle: AnyArray
    names: Sequence[VehicleId]


def drift(fleet: Fleet) -> list[Drift]:
    """Test the vehicles; returns all results, vehicles with the most frames first."""
    seen = matched_frames(fleet.samples, fleet.vehicle.size)
    frames = np.bincount(fleet.vehicle[seen & (fleet.vehicle >= 0)], minlength=len(fleet.names))
    scores, classes = _counts(fleet)
    results = []
    for v in np.argsort(-frames, kind="stable")[:MAX_VEHICLES]:
        rest = int(frames.sum() - frames[v])
        if min(frames[v], rest) < MIN_FRAMES:
            continue
        size = (int(frames[v]), rest)
        results += [
            (
                v,
                DriftMeasure.SCORES,
                *_kolmogorov_smirnov(scores[v], scores.sum(0) - scores[v], size),
            ),
            (v, DriftMeasure.CLASSES, *_chi_squared(classes[v], classes.sum(0) - classes[v], size)),
            (v, DriftMeasure.MAP, *map_difference(fleet.samples, fleet.vehicle == v)),
        ]
    rejected = holm_rejected([p for *_, p in results], LEVEL)
    return [
        Drift(fleet.names[v], measure, effect, p, drifts)
        for (v, measure, effect, p), drifts in zip(results, rejected, strict=True)
    ]


def _counts(fleet: Fleet) -> tuple[IntArray, IntArray]:
    """Detections per vehicle and score, and per vehicle and category."""
    vehicles = len(fleet.names)
    scores = np.zeros((vehicles, _BINS), np.int64)
    classes = np.zeros((vehicles, len(fleet.samples)), np.int64)
    for k, sample in enumerate(fleet.samples):
        vehicle = fleet.vehicle[sample.frame]
        keep = vehicle >= 0
        place = (sample.score[keep] * _BINS).astype(np.int64).clip(0, _BINS - 1)
        flat = np.bincount(vehicle[keep] * _BINS + place, minlength=vehicles * _BINS)
        scores += flat.reshape(vehicles, _BINS)
        classes[:, k] = np.bincount(vehicle[keep], minlength=vehicles)
    return scores, classes


def _kolmogorov_smirnov(
    vehicle_counts: IntArray, rest: IntArray, frames: tuple[int, int]
) -> tuple[float, float]:
    """Largest distance of two distributions, and its p-value."""
    if not vehicle_counts.sum() or not rest.sum():
        return 0.0, 1.0
    distance = float(
        np.abs(
            np.cumsum(vehicle_counts) / vehicle_counts.sum() - np.cumsum(rest) / rest.sum()
        ).max()
    )
    return distance, kolmogorov_smirnov_p_value(distance, frames)


def _chi_squared(
    vehicle_counts: IntArray, rest: IntArray, frames: tuple[int, int]
) -> tuple[float, float]:
    """Total variation distance of two mixes, and the p-value of their homogeneity."""
    if not vehicle_counts.sum() or not rest.sum():
        return 0.0, 1.0
    shares = np.array([vehicle_counts / vehicle_counts.sum(), rest / rest.sum()])
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    seen = shares * np.array(frames)[:, None]
    pooled = seen.sum(0) * min(frames) / sum(frames) < _EXPECTED
    seen = np.column_stack([seen[:, ~pooled], seen[:, pooled].sum(1)])
    seen = seen[:, seen.sum(0) > 0]
    expected = seen.sum(1, keepdims=True) * seen.sum(0) / seen.sum()
    freedom = seen.shape[1] - 1
    if not freedom:
        return effect, 1.0
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return effect, chi_squared_p_value(statistic, freedom)
