"""Families of needles for the review page, kept up to date beside the retriever."""

from collections.abc import Sequence

from services.contracts.identity import NeedleId
from services.domain.mining.families import Family
from services.domain.ports.vectors import VectorStore
from services.retriever.overview import Overview, read_overview
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.stores.family_marks import Mark
from services.runtime.stores.opening import Stores

_SHOWN = 50
"""Families that have a gauge of their own."""


async def mark_families(
    stores: Stores, vectors: VectorStore, settings: Settings, clock: Clock
) -> int:
    """Gather the needles again, write and show what has changed; how many needles that were.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    overview = await read_overview(stores.needles, stores.matches, stores.frames, vectors, settings)
    show_families(overview.families)
    return await stores.family_marks.show(marks_of(overview), clock.now())


def show_families(families: Sequence[Family]) -> None:
    """As gauges: how many there are, and the size of the largest.

    Parameters
    ----------
    families : the largest first
    """
    for gauge in (metrics.FAMILIES, metrics.FAMILY_NEEDLES):
        gauge.clear()
    for family in families:
        state = "resolved" if family.resolved else "open"
        metrics.FAMILIES.labels(metrics.DETECTORS(family.detector), state).inc()
    for family in families[:_SHOWN]:
        metrics.FAMILY_NEEDLES.labels(
            metrics.DETECTORS(family.detector),
            metrics.CATEGORIES(family.category),
            family.error_type.value,
            family.family_id[:8],
            "resolved" if family.resolved else "open",
        ).set(family.size)


def marks_of(overview: Overview) -> dict[NeedleId, Mark]:
    """What the overview says of each needle."""
    suspicions = {suspect.needle.needle_id: suspect.suspicion for suspect in overview.recheck}
    marks = {needle_id: Mark(suspicion=value) for needle_id, value in suspicions.items()}
    for family in overview.families:
        for needle_id in family.needles:
            marks[needle_id] = Mark(
                family=family.family_id,
                exemplar=needle_id == family.exemplar,
                resolved=family.resolved,
                suspicion=suspicions.get(needle_id),
            )
    return marks
