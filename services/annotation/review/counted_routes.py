"""The list of frames behind a number: of a curve's point, or of a confusion matrix's cell."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from services.annotation.review.context import Context
from services.annotation.review.counted_frames import COLUMNS, CountedFrames, CountedView, rows
from services.annotation.review.csv_files import csv_file
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page

router = APIRouter()

_UNKNOWN = "This address does not say what to count: it needs an outcome and a score."


async def counted_view(request: Request) -> CountedView:
    """What the address counts.

    Raises
    ------
    HTTPException
        400: the address does not say what to count.
    """
    view = CountedView.of(request.query_params)
    if view is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _UNKNOWN)
    return view


Counted = Annotated[CountedView, Depends(counted_view)]


@router.get("/frames/behind")
async def behind(page: Page, context: Context, view: Counted) -> Response:
    """The frames, a page of them at a time."""
    found = await CountedFrames(context.stores.matches).page(view)
    return page.html("behind.html", view=view, page=found)


@router.get("/frames/behind.csv")
async def behind_csv(_: LoggedIn, context: Context, view: Counted) -> Response:
    """All frames: a row per detection or missed object."""
    counted = CountedFrames(context.stores.matches)

    async def lines() -> AsyncIterator[tuple[object, ...]]:
        async for frame in counted.all(view):
            for row in rows(frame, view.wanted.category):
                yield row

    return csv_file("frames", COLUMNS, lines())
