"""Ways to rank again what was ranked: each is measured, and off unless it pays."""

from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval_rankings import Ranking, Task, vectors_of
from services.domain.arrays import FloatArray

_LAST = -1e9
"""Below everything that was chosen."""


@dataclass(frozen=True)
class QueryExpansion:
    """Alpha-QE: the needle and its nearest regions, weighed by similarity to a power, ask.

    Radenović, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", 2018.
    """

    nearest: int = 5
    alpha: float = 3.0

    def __call__(self, task: Task) -> FloatArray:
        needles, haystack, _ = vectors_of(task, "crop", centred=True)
        similar = needles @ haystack.T
        asked = needles.copy()
        for row, near in enumerate(similar):
            best = np.argsort(-near, kind="stable")[: self.nearest]
            asked[row] += np.clip(near[best], 0, None) ** self.alpha @ haystack[best]
        asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-9)
        return np.asarray(asked @ haystack.T, np.float64)


@dataclass(frozen=True)
class Reciprocal:
    """k-reciprocal neighbours: regions that have the needle among their own nearest come first.

    Zhong, Zheng, Cao and Li, "Re-ranking person re-identification with k-reciprocal encoding",
    2017, without its expansion: similarity plus the overlap of the two sets of neighbours.
    """

    nearest: int = 20
    weight: float = 0.3

    def __call__(self, task: Task) -> FloatArray:
        needles, haystack, _ = vectors_of(task, "crop", centred=True)
        every = np.concatenate([needles, haystack])
        similar = np.asarray(every @ every.T, np.float64)
        count = min(self.nearest, len(every))
        near = np.zeros(similar.shape, np.bool_)
        np.put_along_axis(near, np.argsort(-similar, axis=1, kind="stable")[:, :count], True, 1)
        mutual = (near & near.T).astype(np.float64)
        shared = mutual[: len(needles)] @ mutual[len(needles) :].T
        sizes = mutual.sum(axis=1)
        union = sizes[: len(needles), None] + sizes[None, len(needles) :] - shared
        overlap = shared / np.maximum(union, 1)
        kept = 1 - self.weight
        return np.asarray(kept * similar[: len(needles), len(needles) :] + self.weight * overlap)


@dataclass(frozen=True)
class MarginalRelevance:
    """MMR: evidence less the similarity to what was chosen before (Carbonell and Goldstein, 1998).

    Attributes
    ----------
    diversity : weight of that similarity, the rest is evidence's
    """

    ranking: Ranking
    diversity: float = 0.3
    depth: int = 50

    def __call__(self, task: Task) -> FloatArray:
        evidence = self.ranking(task)
        _, haystack, _ = vectors_of(task, "crop", centred=True)
        alike = np.asarray(haystack @ haystack.T, np.float64)
        again = np.full(evidence.shape, _LAST) + evidence
        for row, message in enumerate(evidence):
            left = np.argsort(-message, kind="stable")[: self.depth].tolist()
            most = np.full(len(message), -1.0)
            for rank in range(len(left)):
                worth = (1 - self.diversity) * message[left] - self.diversity * most[left]
                best = left.pop(int(worth.argmax()))
                again[row, best] = -rank
                most = np.maximum(most, alike[best])
        return again


RERANKINGS: dict[str, Ranking] = {
    "nearest, centred, alpha-QE": QueryExpansion(),
    "nearest, centred, k-reciprocal": Reciprocal(),
}
