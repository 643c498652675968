"""The page of one needle, and the acts on it."""

from fastapi import APIRouter, Response
from starlette.datastructures import FormData

from services.annotation.decisions import Seen
from services.annotation.review.context import Context
from services.annotation.review.edits import Edit
from services.annotation.review.guard import Form, whole_number
from services.annotation.review.needle_answers import Answers
from services.annotation.review.needle_view import claim_from_now
from services.annotation.review.page import Page
from services.annotation.review.queued_acts import seen_acts
from services.annotation.review.refusals import Lost, Refusal
from services.annotation.review.reviewing import Reviewer, Target
from services.annotation.review.verdict_forms import note_of, verdict_of
from services.contracts.identity import Category, NeedleId, RegionId
from services.contracts.needles import Candidate, NeedleFound
from services.domain.ports.needles import NeedleRecord

router = APIRouter()

_MAX_CATEGORY_LENGTH = 100


@router.get("/needles/{needle_id}")
async def needle(answers: Answers, needle_id: NeedleId) -> Response:
    """A needle with its candidates."""
    return await answers.shown(needle_id)


@router.get("/needles/{needle_id}/next")
async def next_to_review(answers: Answers, needle_id: NeedleId) -> Response:
    """The next needle of the list."""
    return await answers.next_to_review(needle_id)


@router.post("/needles/{needle_id}/decisions")
async def decide(answers: Answers, needle_id: NeedleId, form: Form) -> Response:
    """Decide the marked candidates."""
    act = verdict_of(form)
    seen = _seen(form)
    if act is None or not seen.regions:
        text = "Mark at least one candidate first: press its number, or click it."
        return await answers.refused(needle_id, text, form)
    note = note_of(form)
    return await answers.changed(needle_id, form, lambda reviewer: reviewer.decide(act, seen, note))


@router.post("/needles/{needle_id}/undo")
async def undo(answers: Answers, needle_id: NeedleId, form: Form) -> Response:
    """Undo the person's last act in force."""
    wanted = str(form.get("undoes", ""))
    return await answers.changed(needle_id, form, lambda reviewer: reviewer.undo(wanted))


@router.post("/needles/{needle_id}/corrections")
async def correct(answers: Answers, needle_id: NeedleId, form: Form) -> Response:
    """Correct the ground truth at the needle's region, or at a candidate's."""
    return await answers.changed(needle_id, form, lambda reviewer: _corrected(reviewer, form))


@router.post("/needles/{needle_id}/claim")
async def claim(
    page: Page, form: Form, context: Context, answers: Answers, needle_id: NeedleId
) -> Response:
    """Claim the needle, so that others leave it to this person; or find whose it is."""
    await answers.record(needle_id)
    current = await context.stores.reviews.claim(
        needle_id,
        claim_from_now(context, page.session),
        context.clock.now(),
        by_force=form.get("force") == "yes",
    )
    tail = answers.view.query(page=None)
    if not page.is_fragment:
        return page.redirect(f"/needles/{needle_id}{tail}")
    own = current.is_of(page.session.by)
    return page.html("claim.html", needle_id=needle_id, claim=current, own=own, tail=tail)


async def _corrected(reviewer: Reviewer, form: FormData) -> Refusal | None:
    target = _target(reviewer.record, str(form.get("region", "")))
    edit = next((item for item in Edit if item.value == form.get("edit")), None)
    after = whole_number(form.get("revision"))
    if target is None or edit is None or after is None:
        return Refusal(Lost.NOTHING, "This region is no longer on the shortlist.")
    name = str(form.get("category", "")).strip()[:_MAX_CATEGORY_LENGTH]
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
