"""The page of one frame: detections, ground truth, needles, shortlists, pipeline history."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Response

from services.annotation.ports.id_search import GAVE_UP
from services.annotation.review.context import Context
from services.annotation.review.frame_view import frame_view
from services.annotation.review.guard import Form, whole_number
from services.annotation.review.page import Page
from services.annotation.review.refusals import OVERTAKEN
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord

router = APIRouter()

_MAX_ID_LENGTH = 200
_FOUND = 50


@router.get("/frames")
async def frame(page: Page, context: Context, id: str = "") -> Response:  # noqa: A002  # the URL's name
    """A frame; for a part of an id, the frames and needles whose ids contain it."""
    part = _part(id)
    record = await _loaded(context, part)
    if record is None:
        return await _search(page, context, part)
    return page.html(
        "frame.html",
        frame=await frame_view(context, record, page.request.query_params),
        tool=context.settings.annotation_tool,
        searches=context.similar is not None,
        crops=context.similar is not None and context.similar.embedder is not None,
        count_copies=context.settings.count_copies,
    )


@router.post("/frames/complete")
async def declare_complete(page: Page, form: Form, context: Context) -> Response:
    """Declare that the frame's ground truth names every object."""
    part = _part(str(form.get("id", "")))
    record = await _loaded(context, part)
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no frame {part!r}.")
    truth = await context.corrector.ground_truth(record)
    if truth is None or truth.revision != whole_number(form.get("revision")):
        raise HTTPException(HTTPStatus.CONFLICT, OVERTAKEN)
    if not truth.complete:
        published = await context.corrector.declare_complete(truth, page.session.by)
        if published is None:
            raise HTTPException(HTTPStatus.CONFLICT, OVERTAKEN)
    return page.redirect("/frames", id=record.frame_id)


async def _loaded(context: Context, part: str) -> FrameRecord | None:
    frame_id = FrameId(part)
    return (await context.stores.frames.load([frame_id])).get(frame_id)


def _part(text: str) -> str:
    return text.strip()[:_MAX_ID_LENGTH]


async def _search(page: Page, context: Context, part: str) -> Response:
    """The frames and needles whose ids contain a text; if there is just one, it is opened."""
    if not part:
        raise HTTPException(HTTPStatus.NOT_FOUND, "The address names no frame.")
    search = context.stores.id_search
    frames, needles = await asyncio.gather(
        search.frames(part, _FOUND), search.needles(part, _FOUND)
    )
    is_complete = frames.is_complete and needles.is_complete
    count = len(frames.ids) + len(needles.ids)
    if count == 0 and is_complete:
        detail = f"There is no frame {part!r}, and no id of a frame or needle contains it."
        raise HTTPException(HTTPStatus.NOT_FOUND, detail)
    if count == 1 and is_complete:
        if needles.ids:
            return page.redirect(f"/needles/{needles.ids[0]}")
        return page.redirect("/frames", id=frames.ids[0])
    return page.html(
        "found.html",
        part=part,
        frames=frames.ids,
        needles=needles.ids,
        most=_FOUND,
        gave_up="" if is_complete else GAVE_UP.format(part=part),
    )
