"""Shortlists as JSON: each with its needle, its frames and their verdicts."""

from collections.abc import Sequence

from services.annotation.decisions import Decision, review_of
from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.stores.opening import AnnotationStores
from services.cli.work.needle_rows import EVERY
from services.contracts.needles import Candidate
from services.domain.derived_tags import has_tags
from services.domain.metrics.slice_pairs import Tag
from services.domain.ports.needles import NeedleRecord


async def shortlist_documents(
    stores: AnnotationStores, wanted: NeedleFilter, tags: frozenset[Tag] = frozenset()
) -> list[dict[str, object]]:
    """The shortlists of these needles, highest score of the needle first.

    Parameters
    ----------
    tags : only frames with these are listed, and shortlists that have such frames

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    rows = await stores.needle_lists.page(wanted, Sort.SCORE, limit=EVERY)
    ids = [row.needle.needle_id for row in rows]
    records = await stores.needles.load(ids)
    found = []
    for needle_id in ids:
        candidates = await _candidates(stores, records[needle_id], tags)
        if candidates or not tags:
            found.append(await _document(stores, records[needle_id], candidates))
    return found


async def _candidates(
    stores: AnnotationStores, record: NeedleRecord, tags: frozenset[Tag]
) -> Sequence[Candidate]:
    """The candidates of a needle's shortlist whose frames have these tags."""
    candidates = record.shortlist.candidates if record.shortlist else ()
    if not tags or not candidates:
        return candidates
    frames = await stores.frames.load({item.frame_id for item in candidates})
    return [
        item
        for item in candidates
        if (frame := frames.get(item.frame_id)) is not None
        and frame.captured is not None
        and has_tags(frame.captured, tags)
    ]


async def _document(
    stores: AnnotationStores, record: NeedleRecord, candidates: Sequence[Candidate]
) -> dict[str, object]:
    review = review_of(await stores.reviews.events(record.needle_id))
    shortlist = record.shortlist
    return {
        "needle": record.needle and record.needle.model_dump(mode="json"),
        "revision": shortlist.revision if shortlist else 0,
        "provenance": shortlist and shortlist.provenance.model_dump(mode="json"),
        "frames": [
            _frame(candidate, review.decisions.get(candidate.region_id)) for candidate in candidates
        ],
    }


def _frame(candidate: Candidate, decision: Decision | None) -> dict[str, object]:
    verdict = decision and {
        "act": decision.act.value,
        "by": decision.by,
        "at": decision.at.isoformat(),
        "note": decision.note,
    }
    return candidate.model_dump(mode="json") | {"verdict": verdict}
