"""The map of embeddings: similar regions are close together, to be circled and listed."""

import asyncio
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from services.annotation.ports.region_shortlists import MAX_REGIONS
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page
from services.annotation.review.region_selection import COLOURS, Selection, columns, selected
from services.domain.ports.region_maps import MappedRegion

router = APIRouter()

_SHOWN = 120
_NO_OUTLINE = "This address does not say which part of the map to list."
_COLUMNS = (
    *("frame_id", "region_id", "detector", "category", "score", "x", "y", "width", "height"),
    *("split", "vehicle_id", "needle_id", "error_type", "family", "tags"),
)


async def selection(context: Context, outline: str = "", places: str = "") -> Selection:
    """The regions inside the outline that the address names.

    Raises
    ------
    HTTPException
        400: the address names no outline. 409: it names other places of the regions than the map
        has; one that names none is about the latest map.
    """
    drawn = await context.stores.region_maps.find()
    found = await asyncio.to_thread(selected, drawn, outline)
    if found is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _NO_OUTLINE)
    if places:
        found.check_places(places)
    return found


Selected = Annotated[Selection, Depends(selection)]


@router.get("/map")
async def map_page(page: Page, context: Context) -> Response:
    """The map, empty: its script requests the regions."""
    embedder = context.similar.embedder if context.similar else None
    return page.html(
        "map.html",
        colours=COLOURS,
        size=await context.stores.region_maps.size(),
        reads_text=embedder is not None and embedder.reads_text,
    )


@router.get("/map/regions")
async def regions(request: Request, _: LoggedIn, context: Context) -> Response:
    """All regions of the map, as columns."""
    size = await context.stores.region_maps.size()
    headers = {"ETag": f'"{size.digest if size else ""}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    drawn = await context.stores.region_maps.find()
    content = await asyncio.to_thread(columns, drawn.regions if drawn else ())
    return Response(orjson.dumps(content), media_type="application/json", headers=headers)


@router.get("/map/selection")
async def selected_regions(page: Page, found: Selected, outline: str = "") -> Response:
    """The circled regions as a list."""
    return page.html(
        "map_selection.html",
        regions=found.regions[:_SHOWN],
        count=len(found.regions),
        frames=len({region.frame_id for region in found.regions}),
        needles=sum(bool(region.needle) for region in found.regions),
        outline=outline,
        places=found.places,
        most=MAX_REGIONS,
    )


@router.get("/map/selection.csv")
async def selected_regions_csv(_: LoggedIn, found: Selected) -> Response:
    """The circled regions."""
    return csv_table("regions", _COLUMNS, map(_cells, found.regions))


def _cells(region: MappedRegion) -> tuple[object, ...]:
    return (
        *(region.frame_id, region.region_id, region.detector, region.category, region.score),
        *region.bbox,
        *(region.split, region.vehicle, region.needle, region.error_type, region.family),
        region.tags.replace("\n", ";"),
    )
