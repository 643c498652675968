"""Routes of the shortlists that people make of regions circled on the map."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Response
from starlette.datastructures import FormData

from services.annotation.ports.region_shortlists import (
    MAX_REGIONS,
    MAX_SHORTLISTS,
    ListedRegion,
    RegionShortlist,
)
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import Form, LoggedIn
from services.annotation.review.page import Page
from services.annotation.review.region_selection import selected
from services.domain.withdrawal import in_force

router = APIRouter()

_SHOWN: Final = 120
_MAX_NAME_LENGTH: Final = 60
_COLUMNS: Final = (
    *("frame_id", "region_id", "category", "score", "x", "y", "width", "height", "needle_id"),
)


async def shortlist_of(context: Context, name: str = "") -> RegionShortlist:
    """The shortlist that the address names.

    Raises
    ------
    HTTPException
        404: there is none of this name.
    """
    found = await context.stores.region_shortlists.find(name)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such shortlist.")
    return found


NamedShortlist = Annotated[RegionShortlist, Depends(shortlist_of)]


@router.get("/map/shortlists")
async def shortlists(page: Page, context: Context) -> Response:
    """All shortlists."""
    return await _listed(page, context)


@router.get("/map/shortlist")
async def one_shortlist(page: Page, context: Context, shortlist: NamedShortlist) -> Response:
    """The regions of a shortlist."""
    regions = shortlist.regions[:_SHOWN]
    frames = await context.stores.frames.load([region.frame_id for region in regions])
    annotated = {name for name, record in frames.items() if in_force(record.ground_truth)}
    return page.html(
        "map_shortlist.html", shortlist=shortlist, regions=regions, annotated=annotated
    )


@router.get("/map/shortlist.csv")
async def shortlist_csv(_: LoggedIn, shortlist: NamedShortlist) -> Response:
    """The regions of a shortlist."""
    return csv_table("shortlist", _COLUMNS, map(_cells, shortlist.regions))


@router.post("/map/shortlists")
async def add_shortlist(page: Page, form: Form, context: Context) -> Response:
    """Store the circled regions as a shortlist."""
    name = str(form.get("name", "")).strip()[:_MAX_NAME_LENGTH]
    refusal = await _made(context, page.session.by, name, form)
    if refusal:
        return await _listed(page, context, refusal)
    return page.redirect("/map/shortlist", name=name)


@router.post("/map/shortlists/delete")
async def delete_shortlist(page: Page, form: Form, context: Context) -> Response:
    """Delete a shortlist."""
    name = str(form.get("name", ""))
    await context.stores.region_shortlists.drop(name)
    return await _listed(page, context, f"The shortlist {name} is deleted.")


async def _listed(page: Page, context: Context, message: str = "") -> Response:
    found = await context.stores.region_shortlists.summaries()
    return page.html("map_shortlists.html", shortlists=found, message=message)


async def _made(context: Context, by: str, name: str, form: FormData) -> str:
    """Store a shortlist of the circled regions; returns why it is refused, or nothing.

    Raises
    ------
    HTTPException
        409: the map was drawn again since the person saw the regions.
    """
    if not name or not name.isprintable():
        return "Name the shortlist first."
    drawn = await context.stores.region_maps.find()
    found = await asyncio.to_thread(selected, drawn, str(form.get("outline", "")))
    if found is None:
        return "Circle regions on the map first."
    found.check_places(str(form.get("places", "")))
    if not 1 <= len(found.regions) <= MAX_REGIONS:
        return f"A shortlist has 1 to {MAX_REGIONS:,} regions; you circled {len(found.regions):,}."
    regions = tuple(map(ListedRegion.of, found.regions))
    shortlist = RegionShortlist(name, by, context.clock.now(), regions)
    if await context.stores.region_shortlists.add(shortlist):
        return ""
    return f"{name} is taken, or there are {MAX_SHORTLISTS} shortlists: delete one first."


def _cells(region: ListedRegion) -> tuple[object, ...]:
    return (
        *(region.frame_id, region.region_id, region.category, region.score),
        *(*region.bbox, region.needle),
    )
