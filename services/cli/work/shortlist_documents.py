"""Shortlists as JSON: each with its needle, its frames and their verdicts."""

from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.review.decisions import Decision, review_of
from services.annotation.stores.opening import AnnotationStores
from services.cli.work.needle_rows import EVERY
from services.contracts.events import Candidate
from services.domain.ports.needles import NeedleRecord


async def shortlist_documents(
    stores: AnnotationStores, wanted: NeedleFilter
) -> list[dict[str, object]]:
    """The shortlists of these needles, highest score of the needle first.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    rows = await stores.needle_lists.page(wanted, Sort.SCORE, limit=EVERY)
    ids = [row.needle.needle_id for row in rows]
    records = await stores.needles.load(ids)
    return [await _document(stores, records[needle_id]) for needle_id in ids]


async def _document(stores: AnnotationStores, record: NeedleRecord) -> dict[str, object]:
    review = review_of(await stores.reviews.events(record.needle_id))
    shortlist = record.shortlist
    candidates = shortlist.candidates if shortlist else ()
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
