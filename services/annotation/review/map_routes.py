"""The map of embeddings: similar regions are close together, to be circled and listed."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

import orjson
from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import In
from services.annotation.review.region_selection import COLOURS, columns, selected
from services.annotation.review.rendering import Pages
from services.annotation.stores.region_shortlists import MOST_REGIONS
from services.runtime.stores.region_maps import MappedRegion

_SHOWN = 120
_NO_OUTLINE = "This address does not say which part of the map to list."
_COLUMNS = (
    *("frame_id", "region_id", "detector", "category", "score", "x", "y", "width", "height"),
    *("split", "vehicle_id", "needle_id", "error_type", "family", "tags"),
)


def map_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the map."""
    router = APIRouter()

    async def selection(request: Request) -> Sequence[MappedRegion]:
        outline = request.query_params.get("outline", "")
        found = await asyncio.to_thread(selected, await context.maps.find(), outline)
        if found is None:
            raise HTTPException(HTTPStatus.BAD_REQUEST, _NO_OUTLINE)
        return found

    @router.get("/map")
    async def page(request: Request, session: In) -> Response:
        size = await context.maps.size()
        embedder = context.similar.embedder if context.similar else None
        return pages.html(
            request,
            "map.html",
            session=session,
            colours=COLOURS,
            size=size,
            reads_text=embedder is not None and embedder.reads_text,
        )

    @router.get("/map/regions")
    async def regions(request: Request, _: In) -> Response:
        size = await context.maps.size()
        headers = {"ETag": f'"{size.digest if size else ""}"', "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        drawn = await context.maps.find()
        content = await asyncio.to_thread(columns, drawn.regions if drawn else ())
        return Response(orjson.dumps(content), media_type="application/json", headers=headers)

    @router.get("/map/selection")
    async def listed(request: Request, session: In) -> Response:
        found = await selection(request)
        return pages.html(
            request,
            "map_selection.html",
            session=session,
            regions=found[:_SHOWN],
            count=len(found),
            frames=len({region.frame_id for region in found}),
            needles=sum(bool(region.needle) for region in found),
            outline=request.query_params["outline"],
            most=MOST_REGIONS,
        )

    @router.get("/map/selection.csv")
    async def listed_csv(request: Request, _: In) -> Response:
        return csv_table("regions", _COLUMNS, map(_cells, await selection(request)))

    return router


def _cells(region: MappedRegion) -> tuple[object, ...]:
    return (
        *(region.frame_id, region.region_id, region.detector, region.category, region.score),
        *region.bbox,
        *(region.split, region.vehicle, region.needle, region.error_type, region.family),
        region.tags.replace("\n", ";"),
    )
