"""Curves and operating counts of some frames, from a detector's samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from services.contracts.identity import Category
from services.domain.arrays import BoolArray
from services.domain.metrics.operating_point import OperatingPoint
from services.domain.metrics.score_curves import ScoreCurve
from services.domain.statistics.resampling import Sample


@dataclass(frozen=True)
class SampleCurves:
    """By category: precision, recall and F1 against the score, and at its operating score."""

    curves: Mapping[Category, ScoreCurve]
    operating: Mapping[Category, OperatingPoint]

    @classmethod
    def of(
        cls, samples: Mapping[Category, Sample], frames: BoolArray, operating: Sequence[float]
    ) -> Self:
        """Those of some frames, (F,) bool; a category without a match there is left out.

        Parameters
        ----------
        operating : the operating score of each sample
        """
        score_of = dict(zip(samples, operating, strict=True))
        restricted = {category: sample.on(frames) for category, sample in samples.items()}
        matched = {
            category: sample for category, sample in restricted.items() if sample.truths.size
        }
        return cls(
            {category: _curve(sample) for category, sample in matched.items()},
            {
                category: _operating(sample, score_of[category])
                for category, sample in matched.items()
            },
        )


def _curve(sample: Sample) -> ScoreCurve:
    states = sample.counts.astype(np.uint8) + sample.right
    return ScoreCurve.of(sample.score.astype(np.float64), states, int(sample.truths.sum()))


def _operating(sample: Sample, score: float) -> OperatingPoint:
    shown = sample.shown(score)
    right = int((shown & sample.right).sum())
    return OperatingPoint.of(score, right, int(shown.sum()), int(sample.truths.sum()))
