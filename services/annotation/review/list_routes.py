"""Routes of lists of needles, and of the result of their review."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response

from services.annotation import needle_table
from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_file
from services.annotation.review.drive_map import drive_map
from services.annotation.review.family_verdicts import decide_family
from services.annotation.review.guard import Form, In
from services.annotation.review.listing import View
from services.annotation.review.needle_answers import NeedleAnswers
from services.annotation.review.rendering import Pages
from services.annotation.review.verdict_forms import note_of, verdict_of

_BATCH = 500
_PLACED = 500
"""Needles on the map; more would cover each other."""
_PATH_FRAMES = 20_000
"""Frames of the drives on the map, and of others: 300 kB of the page each."""


def list_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the lists. They precede the routes of one needle, whose id could be any word."""
    router = APIRouter()
    answers = NeedleAnswers(context, pages)

    @router.get("/needles")
    async def needles(request: Request, session: In) -> Response:
        return await answers.listed(request, session)

    @router.get("/needles.csv")
    async def needles_csv(request: Request, _: In) -> Response:
        rows = _rows(context, View.of(request.query_params))
        return csv_file("needles", needle_table.COLUMNS, rows)

    @router.get("/needles/map")
    async def by_place(request: Request, session: In) -> Response:
        view = View.of(request.query_params).first_page()
        rows = await context.lists.page(view.wanted, view.sort, limit=_PLACED)
        drives = {row.needle.drive_id for row in rows if row.needle.drive_id}
        positions, paths, others = await asyncio.gather(
            context.places.of([row.needle.frame_id for row in rows]),
            context.places.paths(drives, _PATH_FRAMES),
            context.places.some(_PATH_FRAMES),
        )
        drawn = await asyncio.to_thread(
            drive_map, rows, positions, paths, others, base_map=context.base_map
        )
        return pages.html(
            request, "needle_map.html", session=session, view=view, count=len(rows), map=drawn
        )

    @router.get("/needles/more")
    async def more(request: Request, session: In) -> Response:
        return await answers.more(request, session)

    @router.get("/needles/relatives")
    async def relatives(request: Request, session: In) -> Response:
        return await answers.relatives(request, session)

    @router.post("/needles/decisions")
    async def decide_all(request: Request, session: In, form: Form) -> Response:
        family = View.of(request.query_params).wanted.family
        act = verdict_of(form)
        if family is None or act is None:
            text = "Choose a family and a verdict first."
            return await answers.listed(request, session, text)
        decided = await decide_family(context, session, family, act, note_of(form))
        many = "" if decided.shortlists == 1 else "s"
        text = (
            f"{decided.shortlists} shortlist{many} decided. Undo on a needle's page takes it back."
        )
        return await answers.listed(request, session, " ".join((text, *decided.refused)))

    @router.get("/done")
    async def done(request: Request, session: In) -> Response:
        return await answers.finished(request, session)

    return router


async def _rows(context: ReviewContext, view: View) -> AsyncIterator[tuple[object, ...]]:
    """Every needle of a view, whatever its page."""
    last = None
    while rows := await context.lists.page(view.wanted, view.sort, limit=_BATCH, after=last):
        for row in rows:
            yield needle_table.cells(row)
        last = rows[-1].needle
