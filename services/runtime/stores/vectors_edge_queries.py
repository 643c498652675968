"""Searches of Qdrant Edge: its conditions and queries, and its points as hits."""

from collections.abc import Collection, Iterable

import numpy as np
import qdrant_edge as edge

from services.contracts.identity import PointId
from services.domain.arrays import Vector
from services.domain.ports.vectors import OVERSAMPLING, Hit, Where, best_first

_RESCORED = edge.SearchParams(
    quantization=edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
)
"""Without effect on collections that are not quantised."""


def request_of(vector: Vector, where: Where, requested: int) -> edge.QueryRequest:
    """The search for the points nearest to a vector, with their payloads."""
    query = edge.Query.Nearest(np.asarray(vector, np.float32))  # type: ignore[arg-type]  # takes arrays too
    return edge.QueryRequest(
        limit=requested, query=query, with_payload=True, filter=filter_of(where), params=_RESCORED
    )


def hits_of(found: Iterable[edge.ScoredPoint]) -> list[Hit]:
    """What a search found, best first."""
    return best_first((PointId(str(point.id)), point.score, point.payload or {}) for point in found)


def filter_of(where: Where) -> edge.Filter | None:
    """The condition as the engine takes it; None where every point meets it."""
    conditions = _conditions(where)
    return edge.Filter(must=[*conditions]) if conditions else None


def others_of(where: Where, kept: Collection[PointId]) -> edge.Filter:
    """The condition that all points meet that pass the filter, but these."""
    return edge.Filter(must=[*_conditions(where)], must_not=[edge.HasIdCondition({*kept})])


def _conditions(where: Where) -> list[edge.FieldCondition]:
    equal = [
        edge.FieldCondition(name, match=edge.MatchValue(value))
        for name, value in where.equals.items()
    ]
    reached = [
        edge.FieldCondition(name, range=edge.RangeFloat(gte=bound))
        for name, bound in where.at_least.items()
    ]
    return [*equal, *reached]
