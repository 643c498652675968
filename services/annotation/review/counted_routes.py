"""The list of frames behind a number: of a curve's point, or of a confusion matrix's cell."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.counted_frames import COLUMNS, CountedFrames, CountedView, rows
from services.annotation.review.csv_files import csv_file
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages

_UNKNOWN = "This address does not say what to count: it needs an outcome and a score."


def counted_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the frames behind a number."""
    router = APIRouter()
    counted = CountedFrames(context.matches)

    @router.get("/frames/behind")
    async def behind(request: Request, session: In) -> Response:
        view = _view(request)
        page = await counted.page(view)
        return pages.html(request, "behind.html", session=session, view=view, page=page)

    @router.get("/frames/behind.csv")
    async def behind_csv(request: Request, _: In) -> Response:
        view = _view(request)

        async def lines() -> AsyncIterator[tuple[object, ...]]:
            async for frame in counted.all(view):
                for row in rows(frame, view.wanted.category):
                    yield row

        return csv_file("frames", COLUMNS, lines())

    return router


def _view(request: Request) -> CountedView:
    view = CountedView.of(request.query_params)
    if view is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _UNKNOWN)
    return view
