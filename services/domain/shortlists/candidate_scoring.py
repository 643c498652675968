"""Scored candidates of one detector and category: which haystack regions suit which mode."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FamilyId, FrameId, RegionId
from services.domain.arrays import FloatArray, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import FailureModel
from services.domain.mining.ranking import cosines
from services.domain.shortlists.scored_candidates import (
    WORTH_DECIMALS,
    CaptureContext,
    ScoredCandidate,
)
from services.domain.shortlists.strategies import CategoryStats, Strategy

_SIMILARITY_DECIMALS = 6
"""Cosines that are equal to this many decimals tie; smaller differences are float noise."""


@dataclass(frozen=True)
class Haystack:
    """N haystack regions of one detector and category that may be shortlisted.

    Attributes
    ----------
    regions : N ids
    vectors : (N, D) float32, unit length
    features : (N, F) float64, see region_features
    scores : (N,) float64
    contexts : N
    """

    regions: Sequence[RegionId]
    vectors: Vectors
    features: FloatArray
    scores: FloatArray
    contexts: Sequence[CaptureContext]


@dataclass(frozen=True)
class CategoryModel:
    """The failure model of a detector and category, and the detector's statistics in it."""

    model: FailureModel
    stats: CategoryStats

    @property
    def nbytes(self) -> int:
        """The size of its arrays in bytes."""
        return self.model.nbytes + self.stats.scores.nbytes + self.stats.matched.nbytes


@dataclass(frozen=True)
class ModeQuery:
    """The families of a mode's needles, each represented by its exemplar.

    Attributes
    ----------
    vectors : (E, D) float32, unit length, of the exemplars
    families : E
    """

    vectors: Vectors
    families: Sequence[FamilyId]

    def families_of(self, vectors: Vectors) -> list[FamilyId]:
        """The family of the exemplar that each region resembles most; of equals, the first.

        Parameters
        ----------
        vectors : (N, D) of regions
        """
        similarities = np.round(cosines(vectors, self.vectors), _SIMILARITY_DECIMALS)
        return [self.families[nearest] for nearest in similarities.argmax(axis=1).tolist()]


def frame_worths(
    category_model: CategoryModel, haystack: Haystack, strategy: Strategy
) -> dict[FrameId, float]:
    """The worth of each frame: the sum over its regions of this detector and category.

    Sums are correctly rounded, so they do not depend on the order of the regions.
    """
    if not haystack.contexts:
        return {}
    worths: defaultdict[FrameId, list[float]] = defaultdict(list)
    wrong = category_model.model.wrong(haystack.vectors, haystack.features)
    values = np.round(strategy(wrong, haystack.scores, category_model.stats), WORTH_DECIMALS)
    for context, value in zip(haystack.contexts, values.tolist(), strict=True):
        worths[context.frame].append(value)
    return {frame: math.fsum(of_frame) for frame, of_frame in worths.items()}


def scored_candidates(
    category_model: CategoryModel,
    haystack: Haystack,
    queries: Mapping[FailureMode, ModeQuery],
    worths: Mapping[FrameId, float],
    evidence_min: float,
) -> dict[FailureMode, list[ScoredCandidate]]:
    """The candidates of each mode.

    A region is worth its frame's worth, times the evidence for the mode.

    Parameters
    ----------
    worths : of the haystack's frames, summed over all categories of the detector
    evidence_min : regions with less evidence are left out
    """
    if not haystack.contexts:
        return {}
    worth = np.array([worths[context.frame] for context in haystack.contexts])
    found = {}
    for mode, query in queries.items():
        evidence = category_model.model.evidence(
            mode, query.vectors, haystack.vectors, haystack.features
        )
        gain = worth * evidence
        rows = np.flatnonzero((evidence >= evidence_min) & (gain > 0))
        families = query.families_of(haystack.vectors[rows])
        found[mode] = [
            ScoredCandidate(
                haystack.regions[row],
                haystack.contexts[row],
                float(gain[row]),
                float(evidence[row]),
                family,
            )
            for row, family in zip(rows.tolist(), families, strict=True)
        ]
    return found
