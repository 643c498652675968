"""Which haystack regions would fail as a needle does, best first, and few of them alike.

Similarity alone finds true objects that look like the needle: nearest neighbours of a false
positive are mostly right. So a candidate counts by how much closer it is to the needle than to the
reference's true positives, and a low score is further evidence against it.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

NEIGHBOURS = 3
"""How many true positives speak for a region being right."""


@dataclass(frozen=True)
class Place:
    """Where a ranked region stands: its frame, and its drive where it has one."""

    frame: Hashable
    drive: Hashable | None


def true_positive_similarity(
    candidates: Vectors, true_positives: Vectors, neighbours: int = NEIGHBOURS
) -> Floats:
    """How much each candidate resembles the true positives nearest to it.

    Parameters
    ----------
    candidates : (N, D) float32, unit length
    true_positives : (T, D) float32, unit length

    Returns
    -------
    (N,) float64, mean cosine to the `neighbours` most similar ones; 0 where there are none
    """
    if not len(true_positives):
        return np.zeros(len(candidates))
    similarities = np.asarray(candidates @ true_positives.T, dtype=np.float64)
    count = min(neighbours, len(true_positives))
    nearest = np.partition(similarities, -count, axis=1)[:, -count:]
    return np.asarray(nearest.mean(axis=1))


def standardised(values: Floats) -> Floats:
    """Zero mean and unit deviation; zeros where all values are the same."""
    deviation = values.std()
    if deviation < 1e-9:  # noqa: PLR2004  # rounding of equal cosines, not a difference
        return np.zeros(len(values))
    return np.asarray((values - values.mean()) / deviation)


def evidence(similarities: Floats, alike: Floats, scores: Floats, *, score_weight: float) -> Floats:
    """How strongly each candidate is suspected of the needle's failure; (N,) float64.

    Parameters
    ----------
    similarities : (N,) cosine to the needle
    alike : (N,) what `true_positive_similarity` gives
    scores : (N,) the detector's own scores
    score_weight : how much a standard deviation of low score counts beside one of contrast
    """
    return standardised(similarities - alike) - score_weight * standardised(scores)


def thinned(places: Sequence[Place], *, limit: int, per_drive: int) -> list[int]:
    """Positions to keep, in their order: one region per frame, few frames per drive.

    Parameters
    ----------
    places : best first
    limit : most positions to keep
    per_drive : most frames of one drive; frames without a drive are not capped
    """
    kept: list[int] = []
    frames: set[Hashable] = set()
    drives: Counter[Hashable] = Counter()
    for position, place in enumerate(places):
        crowded = place.drive is not None and drives[place.drive] >= per_drive
        if place.frame in frames or crowded:
            continue
        frames.add(place.frame)
        drives[place.drive] += 1
        kept.append(position)
        if len(kept) == limit:
            break
    return kept
