"""Update families of needles for the review page, in the retriever's background."""

import asyncio
from collections.abc import Sequence

from services.contracts.identity import NeedleId
from services.domain.mining.families import Family
from services.domain.ports.family_marks import Mark
from services.domain.ports.vectors import VectorReader
from services.retriever.overview import Overview, read_overview
from services.runtime.clock import Clock
from services.runtime.observability import detector_metrics
from services.runtime.observability.bounded_labels import CATEGORIES, DETECTORS
from services.runtime.observability.gauge_values import clear_all
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores

_SHOWN = 50
"""Number of families with their own gauge."""


async def mark_families(
    stores: Stores, vectors: VectorReader, settings: Settings, clock: Clock
) -> int:
    """Cluster the needles again; write and show changes; return the number of changed needles.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    overview = await read_overview(stores.needles, stores.matches, stores.frames, vectors, settings)
    show_families(overview.families)
    marks = await asyncio.to_thread(marks_of, overview)
    return await stores.family_marks.show(marks, clock.now())


def show_families(families: Sequence[Family]) -> None:
    """Show the number of families, and the sizes of the largest, in place of all others.

    Parameters
    ----------
    families : sorted by size, largest first
    """
    clear_all((detector_metrics.FAMILIES, detector_metrics.FAMILY_NEEDLES))
    for family in families:
        state = "resolved" if family.resolved else "open"
        detector_metrics.FAMILIES.labels(DETECTORS(family.detector), state).inc()
    for family in families[:_SHOWN]:
        detector_metrics.FAMILY_NEEDLES.labels(
            DETECTORS(family.detector),
            CATEGORIES(family.category),
            family.error_type.value,
            family.family_id[:8],
            "resolved" if family.resolved else "open",
        ).set(family.size)


def marks_of(overview: Overview) -> dict[NeedleId, Mark]:
    """Each needle's family and flags in the overview."""
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
