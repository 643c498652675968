"""One detector's predictions of one category: what of its haystack each mode is offered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FamilyId, FrameId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.failure_model import FailureMode, FailureModel
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.scored_candidates import CaptureContext, ScoredCandidate
from services.domain.shortlists.strategies import CategoryStats, Strategy

_SIMILARITY_DECIMALS = 6
"""What is equal to here is a tie; beyond it lies rounding."""


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
    spots: Sequence[CaptureContext]


@dataclass(frozen=True)
class CategoryModel:
    """What is known of a kind: how it fails, and how the detector stands in its category."""

    model: FailureModel
    standing: CategoryStats


@dataclass(frozen=True)
class ModeQuery:
    """The M needles of a mode, and what their families have yielded.

    Attributes
    ----------
    vectors : (M, D) float32, unit length
    families : M
    yields : of those families whose tasks were judged; a family that is missing counts as 1
    """

    vectors: Vectors
    families: Sequence[FamilyId]
    yields: Mapping[FamilyId, float]

    def families_of(self, vectors: Vectors) -> list[FamilyId]:
        """The family of the needle that each region resembles most; of equals, the first.

        Parameters
        ----------
        vectors : (N, D) of regions
        """
        alike = np.round(vectors @ self.vectors.T, _SIMILARITY_DECIMALS)
        return [self.families[nearest] for nearest in alike.argmax(axis=1).tolist()]


def frame_worths(
    kind: CategoryModel, haystack: Haystack, strategy: Strategy
) -> dict[FrameId, float]:
    """What each frame is worth by its regions of this kind: the sum of theirs."""
    worths: defaultdict[FrameId, float] = defaultdict(float)
    if haystack.spots:
        wrong = kind.model.wrong(haystack.vectors, haystack.features)
        values = strategy(wrong, haystack.scores, kind.standing)
        for spot, value in zip(haystack.spots, values.tolist(), strict=True):
            worths[spot.frame] += value
    return dict(worths)


def offers(
    kind: CategoryModel,
    haystack: Haystack,
    asked: Mapping[FailureMode, ModeQuery],
    worths: Mapping[FrameId, float],
    evidence_min: float,
) -> dict[FailureMode, list[ScoredCandidate]]:
    """What each mode may be shown.

    Parameters
    ----------
    worths : of the haystack's frames, summed over all kinds; a region is worth its frame's times
        the evidence that it is the mode's, times what its family has yielded so far
    evidence_min : regions with less are not offered
    """
    if not haystack.spots:
        return {}
    worth = np.array([worths[spot.frame] for spot in haystack.spots])
    found = {}
    for mode, needles in asked.items():
        evidence = kind.model.evidence(mode, needles.vectors, haystack.vectors, haystack.features)
        gain = worth * evidence
        places = np.flatnonzero((evidence >= evidence_min) & (gain > 0))
        families = needles.families_of(haystack.vectors[places])
        found[mode] = [
            ScoredCandidate(
                haystack.regions[place],
                haystack.spots[place],
                haystack.vectors[place],
                float(gain[place]) * needles.yields.get(family, 1.0),
                float(evidence[place]),
                family,
            )
            for place, family in zip(places.tolist(), families, strict=True)
        ]
    return found
