"""Marks the place of a needle as known, and takes that back."""

from fastapi import APIRouter, Response

from services.annotation.review.context import Context
from services.annotation.review.guard import Form
from services.annotation.review.needle_answers import Answers
from services.annotation.review.page import Page
from services.contracts.identity import NeedleId
from services.domain.ports.known_places import KnownPlace
from services.domain.ports.needles import NeedleRecord

router = APIRouter()


@router.post("/needles/{needle_id}/place")
async def place(
    needle_id: NeedleId, page: Page, form: Form, context: Context, answers: Answers
) -> Response:
    """Mark the needle's place as known, or take that back."""
    record = await answers.record(needle_id)
    if form.get("known") == "yes":
        await _mark_known(context, record, page.session.by)
    else:
        await context.stores.known_places.unmark(needle_id)
    if page.is_fragment:
        return await answers.shown(needle_id)
    return page.redirect(f"/needles/{needle_id}{answers.view.query()}")


async def _mark_known(context: Context, record: NeedleRecord, by: str) -> None:
    """Later sightings of the category near the needle's frame are held back from now on."""
    needle = record.needle
    if needle is None:
        return
    frame = (await context.stores.frames.load([needle.frame_id])).get(needle.frame_id)
    position = frame.captured.position if frame and frame.captured else None
    if position is None:
        return
    await context.stores.known_places.mark(
        KnownPlace(
            record.needle_id,
            needle.frame_id,
            needle.category,
            position.lat,
            position.lon,
            by,
            context.clock.now(),
        )
    )
