"""One detector's predictions of one category: its needles, its haystack, and who asks for what."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FrameId, NeedleId
from services.domain.coco import FloatArray
from services.domain.failure_model import FailureModel, Mode
from services.domain.ranking import Vectors
from services.domain.shortlist_plan import Group, Spot
from services.domain.strategies import Standing, Strategy


@dataclass(frozen=True)
class Haystack:
    """The N haystack regions of a kind that may be shortlisted.

    Attributes
    ----------
    vectors : (N, D) float32, unit length
    features : (N, F) float64, see region_features
    scores : (N,) float64
    spots : N
    """

    vectors: Vectors
    features: FloatArray
    scores: FloatArray
    spots: Sequence[Spot]


@dataclass(frozen=True)
class Kind:
    """A kind with all that ranking needs.

    Attributes
    ----------
    needles : ids by mode, in the order of `needle_vectors`
    """

    model: FailureModel
    standing: Standing
    needles: Mapping[Mode, Sequence[NeedleId]]
    needle_vectors: Mapping[Mode, Vectors]
    haystack: Haystack


@dataclass(frozen=True)
class Asked:
    """A mode of a kind that asks for frames.

    Attributes
    ----------
    kind : its place among the kinds
    evidence : (N,), how much speaks for each region of the kind failing in this mode
    """

    kind: int
    mode: Mode
    evidence: FloatArray
    group: Group


def ask(kinds: Sequence[Kind], strategy: Strategy, evidence_min: float) -> list[Asked]:
    """What each mode of each kind asks for, in the order of kinds and modes.

    A frame's worth is the sum of its regions', over all kinds, times the evidence that it is the
    mode's.

    Parameters
    ----------
    evidence_min : regions with less are not asked for
    """
    frames = _frame_worths(kinds, strategy)
    asked = []
    for place, kind in enumerate(kinds):
        hay = kind.haystack
        if not hay.spots:
            continue
        worth = np.array([frames[spot.frame] for spot in hay.spots])
        for mode in sorted(kind.needles, key=_by_name):
            vectors = kind.needle_vectors[mode]
            evidence = kind.model.evidence(mode, vectors, hay.vectors, hay.features)
            group = Group(
                kind.needles[mode],
                np.asarray(vectors @ hay.vectors.T, np.float64),
                hay.spots,
                np.where(evidence >= evidence_min, worth * evidence, 0.0),
            )
            asked.append(Asked(place, mode, evidence, group))
    return asked


def _frame_worths(kinds: Sequence[Kind], strategy: Strategy) -> dict[FrameId, float]:
    worths: defaultdict[FrameId, float] = defaultdict(float)
    for kind in kinds:
        hay = kind.haystack
        if not hay.spots:
            continue
        wrong = kind.model.wrong(hay.vectors, hay.features)
        values = strategy(wrong, hay.scores, kind.standing)
        for spot, value in zip(hay.spots, values.tolist(), strict=True):
            worths[spot.frame] += value
    return worths


def _by_name(mode: Mode) -> tuple[str, str]:
    return mode.error, mode.taken_for or ""
