"""The page of one needle, and the acts on it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from services.annotation.review.context import ReviewContext
from services.annotation.review.decisions import Seen
from services.annotation.review.edits import Edit
from services.annotation.review.guard import Form, In, whole_number
from services.annotation.review.needle_answers import NeedleAnswers
from services.annotation.review.needle_view import claim_from_now
from services.annotation.review.queued_acts import seen_acts
from services.annotation.review.rendering import Pages
from services.annotation.review.reviewing import Lost, Refusal, Reviewer, Target
from services.annotation.review.verdict_forms import note_of, verdict_of
from services.contracts.events import Candidate, NeedleFound
from services.contracts.identity import Category, NeedleId, RegionId
from services.domain.ports.needles import NeedleRecord

_LONGEST_CATEGORY = 100


def needle_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of one needle."""
    router = APIRouter()
    answers = NeedleAnswers(context, pages)

    @router.get("/needles/{needle_id}")
    async def needle(request: Request, needle_id: str, session: In) -> Response:
        return await answers.shown(request, session, NeedleId(needle_id))

    @router.get("/needles/{needle_id}/next")
    async def next_to_review(request: Request, needle_id: str, session: In) -> Response:
        return await answers.next_to_review(request, session, NeedleId(needle_id))

    @router.post("/needles/{needle_id}/decisions")
    async def decide(request: Request, needle_id: str, session: In, form: Form) -> Response:
        act = verdict_of(form)
        seen = _seen(form)
        if act is None or not seen.regions:
            text = "Mark at least one candidate first: press its number, or click it."
            return await answers.refused(request, session, NeedleId(needle_id), text, form)
        note = note_of(form)
        return await answers.changed(
            request,
            session,
            NeedleId(needle_id),
            form,
            lambda reviewer: reviewer.decide(act, seen, note),
        )

    @router.post("/needles/{needle_id}/undo")
    async def undo(request: Request, needle_id: str, session: In, form: Form) -> Response:
        wanted = str(form.get("undoes", ""))
        return await answers.changed(
            request, session, NeedleId(needle_id), form, lambda reviewer: reviewer.undo(wanted)
        )

    @router.post("/needles/{needle_id}/corrections")
    async def correct(request: Request, needle_id: str, session: In, form: Form) -> Response:
        return await answers.changed(
            request, session, NeedleId(needle_id), form, lambda reviewer: _corrected(reviewer, form)
        )

    @router.post("/needles/{needle_id}/claim")
    async def claim(request: Request, needle_id: str, session: In, form: Form) -> Response:
        record = await answers.record(NeedleId(needle_id))
        claim = await context.reviews.claim(
            record.needle_id,
            claim_from_now(context, session),
            context.clock.now(),
            by_force=form.get("force") == "yes",
        )
        own = claim.is_of(session.by)
        values: dict[str, Any] = {"needle_id": record.needle_id, "claim": claim, "own": own}
        return pages.html(request, "claim.html", session=session, **values)

    return router


async def _corrected(reviewer: Reviewer, form: FormData) -> Refusal | None:
    target = _target(reviewer.record, str(form.get("region", "")))
    edit = next((item for item in Edit if item.value == form.get("edit")), None)
    after = whole_number(form.get("revision"))
    if target is None or edit is None or after is None:
        return Refusal(Lost.NOTHING, "This region is no longer on the shortlist.")
    name = str(form.get("category", "")).strip()[:_LONGEST_CATEGORY]
    category = target.category if edit is Edit.NO_OBJECT else Category(name)
    if not category or not category.isprintable():
        return Refusal(Lost.NOTHING, "Name a category.")
    return await reviewer.correct(target, edit, category, after, seen_acts(form))


def _target(record: NeedleRecord, region: str) -> Target | None:
    known: list[NeedleFound | Candidate] = [record.needle] if record.needle else []
    known += record.shortlist.candidates if record.shortlist else ()
    return next((Target.of(needle) for needle in known if needle.region_id == region), None)


def _seen(form: FormData) -> Seen:
    regions = {}
    for value in form.getlist("region"):
        region, _, text = str(value).rpartition("@")
        version = whole_number(text)
        if region and version is not None:
            regions[RegionId(region)] = version
    return Seen(regions, whole_number(form.get("drawn")) or 0, seen_acts(form))
