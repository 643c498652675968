"""Routes of the shortlists that people make of regions circled on the map."""

import asyncio
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import Form, In
from services.annotation.review.region_selection import selected
from services.annotation.review.rendering import Pages
from services.annotation.stores.region_shortlists import (
    MOST_REGIONS,
    MOST_SHORTLISTS,
    ListedRegion,
    RegionShortlist,
)

_SHOWN: Final = 120
_LONGEST_NAME: Final = 60
_COLUMNS: Final = (
    *("frame_id", "region_id", "category", "score", "x", "y", "width", "height", "needle_id"),
)


def region_shortlist_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of shortlists of regions."""
    router = APIRouter()
    shortlists = context.region_shortlists

    async def named(request: Request) -> RegionShortlist:
        found = await shortlists.find(request.query_params.get("name", ""))
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such shortlist.")
        return found

    async def listed(request: Request, session: In, message: str = "") -> Response:
        found = await shortlists.all()
        return pages.html(
            request, "map_shortlists.html", session=session, shortlists=found, message=message
        )

    @router.get("/map/shortlists")
    async def all_shortlists(request: Request, session: In) -> Response:
        return await listed(request, session)

    @router.get("/map/shortlist")
    async def one(request: Request, session: In) -> Response:
        shortlist = await named(request)
        shown = shortlist.regions[:_SHOWN]
        frames = await context.frames.load([region.frame_id for region in shown])
        annotated = {name for name, record in frames.items() if record.ground_truth is not None}
        return pages.html(
            request,
            "map_shortlist.html",
            session=session,
            shortlist=shortlist,
            regions=shown,
            annotated=annotated,
        )

    @router.get("/map/shortlist.csv")
    async def csv(request: Request, _: In) -> Response:
        shortlist = await named(request)
        return csv_table("shortlist", _COLUMNS, map(_cells, shortlist.regions))

    @router.post("/map/shortlists")
    async def keep(request: Request, session: In, form: Form) -> Response:
        name = str(form.get("name", "")).strip()[:_LONGEST_NAME]
        refusal = await _made(context, session.by, name, str(form.get("outline", "")))
        if refusal:
            return await listed(request, session, refusal)
        base = request.scope.get("root_path", "").rstrip("/")
        address = f"{base}/map/shortlist?{urlencode({'name': name})}"
        return RedirectResponse(address, HTTPStatus.SEE_OTHER)

    @router.post("/map/shortlists/delete")
    async def drop(request: Request, session: In, form: Form) -> Response:
        name = str(form.get("name", ""))
        await shortlists.drop(name)
        return await listed(request, session, f"The shortlist {name} is deleted.")

    return router


async def _made(context: ReviewContext, by: str, name: str, outline: str) -> str:
    """Store a shortlist of the circled regions; returns why it is refused, or nothing."""
    if not name or not name.isprintable():
        return "Name the shortlist first."
    found = await asyncio.to_thread(selected, await context.maps.find(), outline) or ()
    if not 1 <= len(found) <= MOST_REGIONS:
        return f"A shortlist has 1 to {MOST_REGIONS:,} regions; you circled {len(found):,}."
    regions = tuple(map(ListedRegion.of, found))
    shortlist = RegionShortlist(name, by, context.clock.now(), regions)
    if await context.region_shortlists.add(shortlist):
        return ""
    return f"{name} is taken, or there are {MOST_SHORTLISTS} shortlists: delete one first."


def _cells(region: ListedRegion) -> tuple[object, ...]:
    return (
        *(region.frame_id, region.region_id, region.category, region.score),
        *(*region.bbox, region.needle),
    )
