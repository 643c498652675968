"""Reports of figures that are estimated from drawn frames."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import joint_operating_point
from services.domain.metrics.sampled_figures import SampledFigures, sampled_figures
from services.domain.metrics.subsets import Subset
from services.evaluator.samples.report import Estimate, SampledReport, lift_of

_CERTAIN: Final = 1 - 1e-12
"""The probability of a frame that was sure to be drawn: 1 is that of a chosen frame, which tells
nothing about how many of the drawn ones are annotated."""


@dataclass(frozen=True)
class SampledFrom:
    """What the figures were estimated from: see `SampledReport`."""

    campaign: str
    detector: DetectorId
    haystack: int
    awaited: int


def estimated_live(
    state: MatchState,
    detector: DetectorId,
    drawn: Mapping[FrameId, float],
    campaign: str,
    operating: OperatingScores,
) -> SampledReport | None:
    """Estimate from the drawn frames of shortlists; None while too few of them are annotated.

    Drawn frames without ground truth are taken to be like those with it, as if the probability had
    been smaller by their share.

    Parameters
    ----------
    drawn : the frames that shortlists have because they were drawn, with their probabilities
    """
    drawn = {frame: min(probability, _CERTAIN) for frame, probability in drawn.items()}
    annotated = state.annotated(detector, drawn)
    probability = annotated.probability
    is_answered = (probability > 0) & (probability < 1)
    represented = float((1 / np.array(list(drawn.values()))).sum()) if drawn else 0.0
    answered = float((1 / probability[is_answered]).sum())
    if not answered:
        return None
    response = np.where(is_answered, min(1.0, answered / represented), 1.0)
    annotated = replace(annotated, probability=probability * response)
    found = sampled_figures(annotated)
    if found is None:
        return None
    haystack = round(represented) + found.chosen
    awaited = len(drawn) - int(is_answered.sum())
    source = SampledFrom(campaign, detector, haystack, awaited)
    return report_of(state, found, source, operating.default)


def report_of(
    state: MatchState, found: SampledFigures, source: SampledFrom, operating_score: float
) -> SampledReport:
    """The estimates, beside the naive figures of all annotated frames."""
    naive = _naive(state, source.detector, Subset.H, operating_score)
    shortlisted = _naive(state, source.detector, Subset.S, operating_score)["precision"]
    return SampledReport(
        campaign=source.campaign,
        detector=source.detector,
        haystack=source.haystack,
        drawn=found.drawn,
        awaited=source.awaited,
        chosen=found.chosen,
        categories=found.categories,
        rare_categories=found.rare_categories,
        map=Estimate.of(found.map, naive["map"]),
        precision=Estimate.of(found.precision, naive["precision"]),
        recall=Estimate.of(found.recall, naive["recall"]),
        lift=Estimate.of(lift_of(found, shortlisted), _lift(shortlisted, naive["precision"])),
    )


def _naive(
    state: MatchState, detector: DetectorId, subset: Subset, operating_score: float
) -> Mapping[str, float | None]:
    figures = list(state.of(detector, subset).values())
    shown = joint_operating_point([part.operating for part in figures], operating_score)
    return {
        "map": twelve(figures)["AP"],
        "precision": shown.precision,
        "recall": shown.recall,
    }


def _lift(shortlisted: float | None, haystack: float | None) -> float | None:
    if shortlisted is None or haystack is None or haystack >= 1:
        return None
    return (1 - shortlisted) / (1 - haystack)
