"""Families of needles for the review page, kept up to date beside the retriever."""

from services.contracts.identity import NeedleId
from services.retriever.overview import Overview, read_overview
from services.runtime.settings import Settings
from services.runtime.stores.family_marks import Mark
from services.runtime.stores.opening import Stores
from services.runtime.stores.vectors import VectorStore


async def mark_families(stores: Stores, vectors: VectorStore, settings: Settings) -> int:
    """Gather the needles again and write what has changed; how many needles that were.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    overview = await read_overview(stores.needles, stores.matches, stores.frames, vectors, settings)
    return await stores.family_marks.show(marks_of(overview))


def marks_of(overview: Overview) -> dict[NeedleId, Mark]:
    """What the overview says of each needle."""
    suspicions = {each.needle.needle_id: each.suspicion for each in overview.recheck}
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
