"""The page of what looks like a region or a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.contracts.events import Split
from services.contracts.identity import FrameId, RegionId
from services.domain.ports.vectors import Hit

_LONGEST = 200
_COLUMNS = ("frame_id", "similarity", "category", "score", "x", "y", "width", "height", "split")
_NO_VECTORS = "This process has no access to the vectors; it needs GAZELOOP_QDRANT_API_KEY."
_NOT_EMBEDDED = "This has no vector yet: it is not embedded, or is gone."


@dataclass(frozen=True)
class SimilarView:
    """What the page shows similar things of; one of `region` and `frame` is empty."""

    region: RegionId
    frame: FrameId
    split: str

    @property
    def query(self) -> dict[str, str]:
        """The parts of the URL that name it."""
        parts = {"region": self.region, "frame": self.frame, "split": self.split}
        return {name: str(value) for name, value in parts.items() if value}


def similar_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of similar things."""
    router = APIRouter()

    async def found(view: SimilarView) -> Sequence[Hit]:
        if context.similar is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_VECTORS)
        if view.region:
            hits = await context.similar.of_region(view.region, view.split)
        else:
            hits = await context.similar.of_frame(view.frame, view.split)
        if hits is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_EMBEDDED)
        return hits

    @router.get("/similar")
    async def page(request: Request, session: In) -> Response:
        view = _view(request)
        hits = await found(view)
        values = {"view": view, "hits": hits, "splits": list(Split)}
        return pages.html(request, "similar.html", session=session, shown=values)

    @router.get("/similar.csv")
    async def table(request: Request, _: In) -> Response:
        return csv_table("similar", _COLUMNS, map(_cells, await found(_view(request))))

    return router


def _view(request: Request) -> SimilarView:
    given = {
        name: request.query_params.get(name, "")[:_LONGEST] for name in ("region", "frame", "split")
    }
    split = given["split"] if given["split"] in {*Split} else ""
    return SimilarView(RegionId(given["region"]), FrameId(given["frame"]), split)


def _cells(hit: Hit) -> list[object]:
    return [hit.similarity if name == "similarity" else hit.payload.get(name) for name in _COLUMNS]
