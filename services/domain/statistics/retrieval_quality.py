"""How good a ranking is: precision, recall and mean average precision, and report 2's own two.

Report 2 divides the relevant among the first four by the ten that were retrieved and calls it
precision@4, which so never exceeds 40%; and by the relevant among those ten and calls it recall@4,
which says nothing of what was not retrieved. Both are reckoned here as it did, beside what the
words mean everywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.domain.detection.coco import BoolArray, FloatArray, IntArray

PRECISION_AT = (1, 4, 10)
RECALL_AT = (4, 10)
_REPORT_AT, _REPORT_RETRIEVED = 4, 10

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class RetrievalQuality:
    """Means over the queries that have anything relevant.

    Attributes
    ----------
    queries : how many those are
    precision : by k, the share of the first k that is relevant
    recall : by k, the share of all relevant in the whole set that is among the first k
    mean_average_precision : of the ranking as far as it goes: relevant items beyond it count as
        missed, but never more of them than it could have held
    report_precision, report_recall : report 2's own precision@4 and recall@4
    """

    queries: int
    precision: Mapping[int, float]
    recall: Mapping[int, float]
    mean_average_precision: float
    report_precision: float
    report_recall: float


def retrieval_quality(relevant: BoolArray, total: IntArray) -> RetrievalQuality | None:
    """The quality of some rankings; none where no query has anything relevant.

    Parameters
    ----------
    relevant : (Q, K), whether what stands at each place is relevant, best place first
    total : (Q,), relevant items in the whole set that is searched, without the query itself
    """
    asked = total > 0
    if not asked.any():
        return None
    rows, total = relevant[asked], total[asked]
    found: IntArray = np.cumsum(rows, axis=1, dtype=np.int64)
    places = np.arange(1, rows.shape[1] + 1)
    reachable = np.minimum(total, rows.shape[1])
    precise = (found / places * rows).sum(axis=1) / np.maximum(reachable, 1)
    within = _among(found, _REPORT_RETRIEVED)
    first = _among(found, _REPORT_AT)
    return RetrievalQuality(
        queries=int(asked.sum()),
        precision={k: float((_among(found, k) / k).mean()) for k in PRECISION_AT},
        recall={k: float((_among(found, k) / total).mean()) for k in RECALL_AT},
        mean_average_precision=float(precise.mean()),
        report_precision=float((first / _REPORT_RETRIEVED).mean()),
        report_recall=float((first / np.maximum(within, 1)).mean()),
    )


def _among(found: IntArray, count: int) -> FloatArray:
    """Relevant items among the first so many, which may be more than there are places."""
    if not found.shape[1]:
        return np.zeros(len(found))
    return found[:, min(count, found.shape[1]) - 1].astype(np.float64)


def exact_ranking(vectors: NDArray[np.float32], apart: Labels, depth: int) -> IntArray:
    """For each vector the nearest others by cosine, best first, none of its own group.

    Parameters
    ----------
    vectors : (N, D), of unit length
    apart : (N,), groups whose members are not looked for from one another: drives, or frames

    Returns
    -------
    (N, depth) places; -1 where there are no more
    """
    ranked = np.full((len(vectors), depth), -1, np.int64)
    for place, vector in enumerate(vectors):
        similar = vectors @ vector
        others = np.flatnonzero(apart != apart[place])
        best = others[np.argsort(-similar[others], kind="stable")[:depth]]
        ranked[place, : len(best)] = best
    return ranked


def judged(ranked: IntArray, labels: Labels, apart: Labels) -> tuple[BoolArray, IntArray]:
    """Which of the ranked have their query's label, and how many in other groups do.

    Parameters
    ----------
    ranked : (N, K) places, -1 for none; row i is of query i
    labels, apart : (N,)

    Returns
    -------
    (N, K) and (N,)
    """
    relevant = (labels[ranked] == labels[:, None]) & (ranked >= 0)
    label_counts = np.bincount(labels, minlength=1)
    pairs, inverse, sizes = np.unique(
        np.stack([labels, apart]), axis=1, return_inverse=True, return_counts=True
    )
    del pairs
    return relevant, label_counts[labels] - sizes[inverse.reshape(-1)]


def exact_quality(
    vectors: NDArray[np.float32], labels: Labels, apart: Labels, depth: int
) -> RetrievalQuality | None:
    """The quality of the exact ranking by cosine, every vector a query."""
    ranked = exact_ranking(vectors, apart, min(depth, max(len(vectors) - 1, 1)))
    return retrieval_quality(*judged(ranked, labels, apart))


def whole_map(
    vectors: NDArray[np.float32],
    queries: IntArray,
    levels: Mapping[str, Labels],
    apart: Labels,
) -> dict[str, float]:
    """Mean average precision by level, of the exact ranking of everything.

    Parameters
    ----------
    queries : (Q,) places of the vectors that are asked for
    levels : (N,) labels by level
    apart : (N,), groups whose members are not looked for from one another
    """
    found: dict[str, list[float]] = {level: [] for level in levels}
    for query in queries.tolist():
        others = np.flatnonzero(apart != apart[query])
        order = others[np.argsort(-(vectors[others] @ vectors[query]), kind="stable")]
        for level, labels in levels.items():
            hits = np.flatnonzero(labels[order] == labels[query])
            if len(hits):
                precise = np.arange(1, len(hits) + 1) / (hits + 1)
                found[level].append(float(precise.mean()))
    return {level: float(np.mean(item)) if item else 0.0 for level, item in found.items()}
