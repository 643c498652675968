"""Precision, recall and mean average precision of rankings, and report 2's two measures.

Report 2 divides the relevant items in the first four by the ten retrieved and calls it precision@4,
which therefore never exceeds 40%. It divides them by the relevant items in those ten and calls it
recall@4, which ignores what was not retrieved. Both are computed here for comparison, next to the
standard measures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.domain.arrays import BoolArray, FloatArray, IntArray

PRECISION_AT = (1, 4, 10)
RECALL_AT = (4, 10)
_REPORT_AT, _REPORT_RETRIEVED = 4, 10


@dataclass(frozen=True)
class RetrievalQuality:
    """Means over the queries that have relevant items.

    Attributes
    ----------
    queries : the number of such queries
    precision : by k, the share of the first k that is relevant
    recall : by k, the share of all relevant items in the whole set that is in the first k
    mean_average_precision : of a ranking of K; relevant items beyond it count as missed, up to K
    report_precision, report_recall : precision@4 and recall@4 as report 2 defines them
    """

    queries: int
    precision: Mapping[int, float]
    recall: Mapping[int, float]
    mean_average_precision: float
    report_precision: float
    report_recall: float


def retrieval_quality(relevant: BoolArray, total: IntArray) -> RetrievalQuality | None:
    """The quality of rankings; None if no query has relevant items.

    Parameters
    ----------
    relevant : (Q, K) bool, whether the item at each rank is relevant
    total : (Q,), number of relevant items in the whole set, without the query itself
    """
    answerable = total > 0
    if not answerable.any():
        return None
    rows, total = relevant[answerable], total[answerable]
    found: IntArray = np.cumsum(rows, axis=1, dtype=np.int64)
    places = np.arange(1, rows.shape[1] + 1)
    reachable = np.minimum(total, rows.shape[1])
    precise = (found / places * rows).sum(axis=1) / np.maximum(reachable, 1)
    within = _found_in_first(found, _REPORT_RETRIEVED)
    first = _found_in_first(found, _REPORT_AT)
    return RetrievalQuality(
        queries=int(answerable.sum()),
        precision={k: float((_found_in_first(found, k) / k).mean()) for k in PRECISION_AT},
        recall={k: float((_found_in_first(found, k) / total).mean()) for k in RECALL_AT},
        mean_average_precision=float(precise.mean()),
        report_precision=float((first / _REPORT_RETRIEVED).mean()),
        report_recall=float((first / np.maximum(within, 1)).mean()),
    )


def _found_in_first(found: IntArray, count: int) -> FloatArray:
    """Relevant items in the first `count`, which may exceed the length of the ranking."""
    if not found.shape[1]:
        return np.zeros(len(found))
    return found[:, min(count, found.shape[1]) - 1].astype(np.float64)


def exact_ranking(vectors: NDArray[np.float32], groups: IntArray, depth: int) -> IntArray:
    """For each vector, the nearest others by cosine, without its own group.

    Parameters
    ----------
    vectors : (N, D), of unit length
    groups : (N,), a query does not retrieve members of its own group: drives, or frames

    Returns
    -------
    (N, depth) indices, best first; -1 where there are no more
    """
    ranked = np.full((len(vectors), depth), -1, np.int64)
    for place, vector in enumerate(vectors):
        similar = vectors @ vector
        others = np.flatnonzero(groups != groups[place])
        best = others[np.argsort(-similar[others], kind="stable")[:depth]]
        ranked[place, : len(best)] = best
    return ranked


def judged(ranked: IntArray, labels: IntArray, groups: IntArray) -> tuple[BoolArray, IntArray]:
    """Which of the ranked have their query's label, and how many in other groups have.

    Parameters
    ----------
    ranked : (N, K) indices, -1 for none; row i is of query i
    labels, groups : (N,)

    Returns
    -------
    (N, K) bool and (N,) int64
    """
    relevant = (labels[ranked] == labels[:, None]) & (ranked >= 0)
    label_counts = np.bincount(labels, minlength=1)
    pairs, inverse, sizes = np.unique(
        np.stack([labels, groups]), axis=1, return_inverse=True, return_counts=True
    )
    del pairs
    return relevant, label_counts[labels] - sizes[inverse.reshape(-1)]


def exact_quality(
    vectors: NDArray[np.float32], labels: IntArray, groups: IntArray, depth: int
) -> RetrievalQuality | None:
    """The quality of the exact ranking by cosine, with every vector as a query."""
    ranked = exact_ranking(vectors, groups, min(depth, max(len(vectors) - 1, 1)))
    return retrieval_quality(*judged(ranked, labels, groups))


def whole_map(
    vectors: NDArray[np.float32],
    queries: IntArray,
    levels: Mapping[str, IntArray],
    groups: IntArray,
) -> dict[str, float]:
    """Mean average precision by level, of the exact ranking of everything.

    Parameters
    ----------
    queries : (Q,) indices of the query vectors
    levels : (N,) labels by level
    groups : (N,), a query does not retrieve members of its own group
    """
    found: dict[str, list[float]] = {level: [] for level in levels}
    for query in queries.tolist():
        others = np.flatnonzero(groups != groups[query])
        order = others[np.argsort(-(vectors[others] @ vectors[query]), kind="stable")]
        for level, labels in levels.items():
            hits = np.flatnonzero(labels[order] == labels[query])
            if len(hits):
                precise = np.arange(1, len(hits) + 1) / (hits + 1)
                found[level].append(float(precise.mean()))
    return {level: float(np.mean(item)) if item else 0.0 for level, item in found.items()}
