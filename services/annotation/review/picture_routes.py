"""Crops and thumbnails, addressed by frame and region, never by a path or URL."""

import math
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.overlay import ASPECT
from services.annotation.review.pictures import Wanted
from services.annotation.review.windows import window_of
from services.contracts.errors import InvalidImage, MissingImage
from services.contracts.identity import Box, FrameId

_WIDTHS = {"thumb": 160, "card": 480, "large": 720, "frame": 1280, "native": 16_384}
_KEPT = "private, max-age=86400"
"""A day: from then on browsers ask again, should regions be redacted since."""
_REVALIDATED = "private, no-cache"
"""Where regions are redacted: a later prediction may find more of them."""
_LARGEST = 1e6


def picture_routes(context: ReviewContext) -> APIRouter:
    """Routes of the pictures."""
    router = APIRouter()
    caching = _REVALIDATED if context.images.redacts else _KEPT

    @router.get("/picture")
    async def picture(
        request: Request, _: In, frame: str, size: str = "card", box: str = ""
    ) -> Response:
        record = (await context.frames.load([FrameId(frame)])).get(FrameId(frame))
        if record is None or record.captured is None or size not in _WIDTHS:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such picture.")
        image = record.captured.image
        try:
            shown = context.images.of_frame(record)
        except MissingImage as exc:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(exc)) from exc
        region = _box(box) if box else None
        window = window_of(region, (image.width, image.height), ASPECT) if region else None
        width = _width(size, image.width, window)
        aspect = ASPECT if window else image.width / image.height
        outline = region if size == "thumb" else None
        wanted = Wanted(shown, window, width, max(1, round(width / aspect)), outline)
        headers = {"ETag": f'"{wanted.name}"', "Cache-Control": caching}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        try:
            content = await context.pictures.get(wanted)
        except (MissingImage, InvalidImage) as exc:
            raise HTTPException(
                HTTPStatus.NOT_FOUND, "The image is missing or unreadable."
            ) from exc
        return Response(content, media_type="image/jpeg", headers=headers)

    return router


def _width(size: str, image_width: int, window: Box | None) -> int:
    """In pixels; parts of an image are enlarged, unless their native size is wanted."""
    if window is None:
        return min(_WIDTHS[size], image_width)
    return round(window[2]) if size == "native" else _WIDTHS[size]


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "A box is x,y,width,height.") from None
    if not all(math.isfinite(v) and abs(v) < _LARGEST for v in (x, y, width, height)):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "A box is x,y,width,height.")
    return (x, y, max(width, 1.0), max(height, 1.0))
