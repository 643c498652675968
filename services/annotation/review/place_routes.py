"""Marks the place of a needle as known, and takes that back."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import Form, In
from services.annotation.review.listing import View
from services.annotation.review.needle_answers import NeedleAnswers
from services.annotation.review.rendering import Pages, is_fragment
from services.contracts.identity import NeedleId
from services.domain.ports.known_places import KnownPlace
from services.domain.ports.needles import NeedleRecord


def place_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """The route of a needle's place."""
    router = APIRouter()
    answers = NeedleAnswers(context, pages)

    @router.post("/needles/{needle_id}/place")
    async def place(request: Request, needle_id: str, session: In, form: Form) -> Response:
        record = await answers.record(NeedleId(needle_id))
        if form.get("known") == "yes":
            await _mark_known(context, record, session.by)
        else:
            await context.known_places.unmark(record.needle_id)
        if is_fragment(request):
            return await answers.shown(request, session, record.needle_id)
        base = request.scope.get("root_path", "").rstrip("/")
        tail = View.of(request.query_params).query()
        address = f"{base}/needles/{record.needle_id}{tail}"
        return RedirectResponse(address, HTTPStatus.SEE_OTHER)

    return router


async def _mark_known(context: ReviewContext, record: NeedleRecord, by: str) -> None:
    """Later sightings of the category near the needle's frame are held back from now on."""
    needle = record.needle
    if needle is None:
        return
    frame = (await context.frames.load([needle.frame_id])).get(needle.frame_id)
    position = frame.captured.position if frame and frame.captured else None
    if position is None:
        return
    await context.known_places.mark(
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
