"""One detector's predictions of one category: what of its haystack each mode is offered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FrameId, RegionId
from services.domain.coco import FloatArray
from services.domain.failure_model import FailureModel, Mode
from services.domain.ranking import Vectors
from services.domain.shortlist_plan import Offer, Spot
from services.domain.strategies import Standing, Strategy


@dataclass(frozen=True)
class Haystack:
    """N haystack regions of a kind that may be shortlisted.

    Attributes
    ----------
    regions : N ids
    vectors : (N, D) float32, unit length
    features : (N, F) float64, see region_features
    scores : (N,) float64
    spots : N
    """

    regions: Sequence[RegionId]
    vectors: Vectors
    features: FloatArray
    scores: FloatArray
    spots: Sequence[Spot]


@dataclass(frozen=True)
class Kind:
    """What is known of a kind: how it fails, and how the detector stands in its category."""

    model: FailureModel
    standing: Standing


def frame_worths(kind: Kind, haystack: Haystack, strategy: Strategy) -> dict[FrameId, float]:
    """What each frame is worth by its regions of this kind: the sum of theirs."""
    worths: defaultdict[FrameId, float] = defaultdict(float)
    if haystack.spots:
        wrong = kind.model.wrong(haystack.vectors, haystack.features)
        values = strategy(wrong, haystack.scores, kind.standing)
        for spot, value in zip(haystack.spots, values.tolist(), strict=True):
            worths[spot.frame] += value
    return dict(worths)


def offers(
    kind: Kind,
    haystack: Haystack,
    needles: Mapping[Mode, Vectors],
    worths: Mapping[FrameId, float],
    evidence_min: float,
) -> dict[Mode, list[Offer]]:
    """What each mode may be shown.

    Parameters
    ----------
    needles : (M, D) by mode
    worths : of the haystack's frames, summed over all kinds; a region is worth its frame's times
        the evidence that it is the mode's
    evidence_min : regions with less are not offered
    """
    if not haystack.spots:
        return {}
    worth = np.array([worths[spot.frame] for spot in haystack.spots])
    found = {}
    for mode, vectors in needles.items():
        evidence = kind.model.evidence(mode, vectors, haystack.vectors, haystack.features)
        gain = worth * evidence
        found[mode] = [
            Offer(
                haystack.regions[place],
                haystack.spots[place],
                haystack.vectors[place],
                float(gain[place]),
                float(evidence[place]),
            )
            for place in np.flatnonzero((evidence >= evidence_min) & (gain > 0)).tolist()
        ]
    return found
