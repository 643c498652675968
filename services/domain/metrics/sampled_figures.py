"""AP, precision and recall of a haystack of which some frames are annotated.

Frames that were chosen represent only themselves. All other frames of the haystack are represented
by those that were drawn with a known probability (`statistics.sampling`).

What the detector shows is known of all frames, and where it shows more, or at lower scores, more is
wrong and there are more objects. So weights are calibrated by the number of shown detections and
the sum of their scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.metrics.operating_counts import operating_counts
from services.domain.statistics.resampling import Sample, weighted_mean_ap
from services.domain.statistics.sampling import (
    calibrated,
    perturbed_weights,
    weight_draws,
    weights_of,
)
from services.domain.statistics.significance import student_975

MIN_DRAWN: Final = 30
"""Drawn frames from which there are estimates: with fewer, intervals are too narrow."""
MIN_DRAWN_FOR_RECALL: Final = 80
"""The same for recall, which a few crowded frames decide: with 60, its 95% intervals covered 92%
where a sample had none of them."""
MIN_FRAMES: Final = 10
"""Annotated frames with objects of a category from which it counts in mAP."""
_DRAWS: Final = 200
_SEED: Final = 95
_GROUPS: Final = 100
"""Of drawn frames, whose weights change together: the cost of intervals does not grow beyond."""
_RESOLUTION: Final = 4096
"""Kernels count in integers: a weight is a whole multiple of the mean weight over this."""
_OF_A_FRAME: Final = 64
"""The fewest units of weight 1, that of a chosen frame: rounding changes it by less than 1%."""
_MAX_UNITS: Final = 2.0**44
"""Of all frames together, so that counts of their detections stay exact."""


@dataclass(frozen=True)
class ShownTotals:
    """How many detections all frames of a haystack show, and the sum of their scores."""

    detections: int
    summed_scores: float


@dataclass(frozen=True)
class AnnotatedFrames:
    """The annotated frames of a haystack.

    Attributes
    ----------
    samples : one per category, on F numbered frames
    operating : the operating score of each category
    probability : (F,) 1 of a chosen frame, less of one that was drawn, 0 of one that does not count
    haystack : the number of all frames; None where the drawn frames determine it
    shown : on all frames; None where it is not known
    """

    samples: Sequence[Sample]
    operating: Sequence[float]
    probability: FloatArray
    haystack: int | None
    shown: ShownTotals | None = None


@dataclass(frozen=True)
class Estimated:
    """A figure of the whole haystack; `bounds` of 95% are None where none would be honest."""

    value: float
    bounds: tuple[float, float] | None


@dataclass(frozen=True)
class SampledFigures:
    """Figures of the whole haystack; None where they are undefined.

    Attributes
    ----------
    drawn, chosen : the numbers of annotated frames of either kind
    categories : in mAP; how many others have objects on too few annotated frames
    precision, recall : from the operating scores on, at IoU .5
    """

    drawn: int
    chosen: int
    categories: int
    rare_categories: int
    map: Estimated | None
    precision: Estimated | None
    recall: Estimated | None


def size_of(shown: Sequence[float]) -> float:
    """What one expects to be uncertain about a frame, from its shown detections' scores alone.

    The standard deviation of the number of true positives, if a score were a probability; and one
    half, because an empty frame may have missed objects.
    """
    return math.sqrt(0.25 + sum(s * (1 - s) for s in shown))


def sampled_figures(found: AnnotatedFrames) -> SampledFigures | None:
    """Estimate the figures; None with too few drawn frames."""
    usable = found.probability > 0
    probability = found.probability[usable]
    drawn = probability < 1
    if drawn.sum() < MIN_DRAWN:
        return None
    numbers = (np.cumsum(usable) - 1).astype(np.int32)
    samples = [sample.on(usable).renumbered(numbers) for sample in found.samples]
    weights = _weights(probability, drawn, found.haystack)
    if found.shown is not None:
        seen = _seen(samples, found.operating, drawn.size)
        weights = _calibrated(weights, seen, drawn, found.shown)
    right, shown, truths = (weights @ operating_counts(samples, found.operating, drawn.size)).T
    counted = [np.count_nonzero(sample.truths) for sample in samples]
    known = [s for s, count in zip(samples, counted, strict=True) if count >= MIN_FRAMES]
    return SampledFigures(
        drawn=int(drawn.sum()),
        chosen=int((~drawn).sum()),
        categories=len(known),
        rare_categories=sum(bool(0 < count < MIN_FRAMES) for count in counted),
        map=_estimated(np.array([represented_map(known, row) for row in weights])),
        precision=_estimated(_ratio(right, shown)),
        recall=_recall(_ratio(right, truths), int(drawn.sum())),
    )


def _weights(probability: FloatArray, drawn: BoolArray, haystack: int | None) -> FloatArray:
    """(1 + draws + G, F) the frames' weights, draws of them, and those with a group changed."""
    others = None
    if haystack is not None:
        others = max(haystack - int((~drawn).sum()), int(drawn.sum()))
    of_drawn = probability[drawn]
    rows = np.vstack(
        [
            weights_of(of_drawn, others),
            weight_draws(of_drawn, others, _DRAWS, _SEED),
            perturbed_weights(of_drawn, others, _GROUPS),
        ]
    )
    weights = np.ones((len(rows), probability.size))
    weights[:, drawn] = rows
    return weights


def _seen(samples: Sequence[Sample], operating: Sequence[float], frames: int) -> FloatArray:
    """(F, 2) the detections that each frame shows, ignored ones too, and their summed scores."""
    seen = np.zeros((frames, 2))
    for sample, score in zip(samples, operating, strict=True):
        shown = sample.reaching(score)
        np.add.at(seen[:, 0], sample.frame[shown], 1)
        np.add.at(seen[:, 1], sample.frame[shown], sample.score[shown])
    return seen


def _calibrated(
    weights: FloatArray, seen: FloatArray, drawn: BoolArray, shown: ShownTotals
) -> FloatArray:
    """The weights, with those of drawn frames changed to represent all that is shown."""
    represented = np.array([shown.detections, shown.summed_scores]) - seen[~drawn].sum(axis=0)
    if (represented <= 0).any():
        return weights  # of chosen frames that came later, which the totals do not have
    rows = weights[:, drawn]
    known = np.column_stack([np.ones(rows.shape[1]), seen[drawn]])
    changed = weights.copy()
    changed[:, drawn] = calibrated(rows, known, np.array([rows[0].sum(), *represented]))
    return changed


def represented_map(samples: Sequence[Sample], weights: FloatArray) -> float:
    """The mAP with frames weighted; NaN where no ground truth defines it.

    Parameters
    ----------
    weights : (F,) how many frames each represents
    """
    return weighted_mean_ap(samples, _whole(weights))


def _whole(weights: FloatArray) -> IntArray:
    """(F,) int64, nearly proportional to the weights."""
    # Where few frames represent very many, the mean's resolution would round chosen frames to 0.
    finest = min(_OF_A_FRAME, _MAX_UNITS / float(weights.sum()))
    whole: IntArray = np.rint(weights * max(_RESOLUTION / weights.mean(), finest)).astype(np.int64)
    return whole


def _ratio(parts: FloatArray, wholes: FloatArray) -> FloatArray:
    return np.divide(parts, wholes, out=np.full_like(parts, np.nan), where=wholes > 0)


def _recall(values: FloatArray, drawn: int) -> Estimated | None:
    found = _estimated(values)
    return found if found is None or drawn >= MIN_DRAWN_FOR_RECALL else replace(found, bounds=None)


def _estimated(values: FloatArray) -> Estimated | None:
    """The estimate less its bias, with Student's interval; without one where nothing varies.

    The envelope favours frames of high weight. So the AP of a sample is too high, and draws are
    higher again by about as much. How much is an estimate too: its error is taken to be as large as
    the bias. Few frames may decide the variance, so its degrees of freedom are estimated
    (Satterthwaite, Biometrics Bulletin 2, 1946), for changes that are normal but for their size.

    Parameters
    ----------
    values : (1 + draws + G,) with the weights of `_weights`
    """
    value, draws = float(values[0]), values[1 : 1 + _DRAWS]
    changes = (values[1 + _DRAWS :] - value) ** 2
    variance = float(changes.sum())
    if math.isnan(variance):
        return None
    if not variance:
        return Estimated(value, None)
    freedom = 2 * variance**2 / float(changes @ changes)
    bias = float(np.nanmean(draws)) - value
    half = student_975(freedom) * math.hypot(math.sqrt(variance), bias)
    middle = value - bias
    return Estimated(middle, (max(0.0, middle - half), min(1.0, middle + half)))
