"""The page of what looks like a region, a frame or a part of it, or is described by a text."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from services.annotation.ports.query_embedder import QueryEmbedder
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page
from services.annotation.review.similar import SimilarThings
from services.contracts.errors import Fatal, Invalid
from services.contracts.events import Split
from services.contracts.identity import Box, FrameId, RegionId
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Hit
from services.domain.redaction import HiddenImage

router = APIRouter()

_MAX_LENGTH = 200
_SIDES = 4
_COLUMNS = (
    *("frame_id", "similarity", "region_id", "category", "score", "x", "y", "width", "height"),
    "split",
)
_NO_VECTORS = "This process has no access to the vectors; it needs GAZELOOP_QDRANT_API_KEY."
_NO_EMBEDDER = (
    "This process cannot embed images or texts. Set GAZELOOP_EMBEDDER to a network that OpenVINO"
    " reads: an ONNX file, or one that `gazeloop models export` wrote."
)
_NOT_EMBEDDED = "This has no vector yet: it is not embedded, or is gone."
_OTHER_MODEL = "The stored vectors are of another model than this process's embedder."


@dataclass(frozen=True)
class SimilarView:
    """What the page shows similar things of: a text, a region, a frame, or a part of the frame.

    Attributes
    ----------
    frames : for a text, whether frames are searched and not regions
    """

    text: str
    region: RegionId
    frame: FrameId
    box: Box | None
    split: str
    frames: bool

    @property
    def of_regions(self) -> bool:
        """Whether regions are searched."""
        return not self.frames if self.text else bool(self.region or self.box)

    @property
    def query(self) -> dict[str, str]:
        """The parts of the URL that name it."""
        parts = {**self.fields, "split": self.split, "of": "frames" if self.frames else ""}
        return {name: str(value) for name, value in parts.items() if value}

    @property
    def fields(self) -> dict[str, str]:
        """The parts that a person does not choose on the page."""
        box = ",".join(f"{side:g}" for side in self.box) if self.box else ""
        parts = {"text": self.text, "region": self.region, "frame": self.frame, "box": box}
        return {name: str(value) for name, value in parts.items() if value}


async def similar_view(request: Request) -> SimilarView:
    """What the address asks for.

    Raises
    ------
    HTTPException
        400: its box is none.
    """
    params = {
        name: request.query_params.get(name, "").strip()[:_MAX_LENGTH]
        for name in ("text", "region", "frame", "box", "split", "of")
    }
    split = params["split"] if params["split"] in {*Split} else ""
    return SimilarView(
        params["text"],
        RegionId(params["region"]),
        FrameId(params["frame"]),
        _box(params["box"]),
        split,
        params["of"] == "frames",
    )


SimilarTo = Annotated[SimilarView, Depends(similar_view)]


@router.get("/similar")
async def similar_page(page: Page, context: Context, view: SimilarTo) -> Response:
    """The most similar regions or frames."""
    hits = await _found(context, view)
    return page.html("similar.html", shown={"view": view, "hits": hits, "splits": list(Split)})


@router.get("/similar.csv")
async def similar_csv(_: LoggedIn, context: Context, view: SimilarTo) -> Response:
    """The most similar regions or frames."""
    return csv_table("similar", _COLUMNS, map(_cells, await _found(context, view)))


async def _found(context: Context, view: SimilarView) -> Sequence[Hit]:
    if context.similar is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, _NO_VECTORS)
    try:
        hits = await _hits(context, context.similar, view)
    except (Invalid, Fatal) as exc:  # of the embedder: the text has no tower, the box no part
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"This cannot be searched: {exc}.") from exc
    if hits is None:
        detail = _OTHER_MODEL if view.text or view.box else _NOT_EMBEDDED
        raise HTTPException(HTTPStatus.NOT_FOUND, detail)
    return hits


async def _hits(
    context: Context, similar: SimilarThings, view: SimilarView
) -> Sequence[Hit] | None:
    if view.text:
        query = await _embedder(similar).of_text(view.text, regions=view.of_regions)
        alias = REGION_VECTORS if view.of_regions else FRAME_VECTORS
        return await similar.of_query(query, alias, view.split)
    if view.region:
        return await similar.of_region(view.region, view.split)
    if view.box is not None:
        content = await _content(context, view.frame)
        query = await _embedder(similar).of_box(content, view.box)
        return await similar.of_query(query, REGION_VECTORS, view.split)
    return await similar.of_frame(view.frame, view.split)


def _embedder(similar: SimilarThings) -> QueryEmbedder:
    if similar.embedder is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, _NO_EMBEDDER)
    return similar.embedder


async def _content(context: Context, frame_id: FrameId) -> bytes:
    """The frame's image file, as people may see it."""
    record = (await context.stores.frames.load([frame_id])).get(frame_id)
    if record is None or record.captured is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no image of frame {frame_id}.")
    try:
        return await asyncio.to_thread(context.images.content, context.images.of_frame(record))
    except HiddenImage as exc:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"No image is shown: {exc}.") from exc


def _box(text: str) -> Box | None:
    if not text:
        return None
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        width, height, x, y = (math.nan,) * _SIDES
    if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "A region is x, y, width and height in pixels, with commas."
        )
    return x, y, width, height


def _cells(hit: Hit) -> list[object]:
    return [hit.similarity if name == "similarity" else hit.payload.get(name) for name in _COLUMNS]
