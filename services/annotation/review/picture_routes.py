"""Crops and thumbnails, addressed by frame and region, never by a path or URL."""

import math
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import Context, ReviewContext
from services.annotation.review.guard import LoggedIn
from services.annotation.review.overlay import ASPECT
from services.annotation.review.pictures import PictureRequest
from services.annotation.review.windows import window_of
from services.contracts.errors import InvalidImage, MissingImage
from services.contracts.identity import Box, FrameId
from services.domain.ports.frames import FrameRecord
from services.domain.redaction import ShownImage
from services.runtime.http.image_caching import cache_control

router = APIRouter()

_WIDTHS = {
    "thumb": 160,
    "card": 480,
    "region": 480,
    "large": 720,
    "frame": 1280,
    "native": 16_384,
}
_OUTLINED = ("thumb", "region")
"""Sizes with the region's outline drawn in, for pages without an overlay of boxes."""
_MAX_COORDINATE = 1e6


@router.get("/picture")
async def picture(
    request: Request,
    _: LoggedIn,
    context: Context,
    *,
    frame: FrameId,
    size: str = "card",
    box: str = "",
) -> Response:
    """A frame's picture, or the part of it around a box."""
    record = await _record(context, frame)
    if record is None or record.captured is None or size not in _WIDTHS:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such picture.")
    try:
        shown = context.images.of_frame(record)
    except MissingImage as exc:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(exc)) from exc
    wanted = _wanted(shown, size, _box(box) if box else None)
    caching = cache_control(redacts=context.images.redacts)
    headers = {"ETag": f'"{wanted.name}"', "Cache-Control": caching}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        content = await context.pictures.get(wanted)
    except (MissingImage, InvalidImage) as exc:
        raise HTTPException(HTTPStatus.NOT_FOUND, "The image is missing or unreadable.") from exc
    return Response(content, media_type="image/jpeg", headers=headers)


async def _record(context: ReviewContext, frame_id: FrameId) -> FrameRecord | None:
    """What decides what people see of a frame; its predictions only where regions are redacted."""
    if context.images.redacts:
        return (await context.stores.frames.load([frame_id])).get(frame_id)
    # A page shows up to sixty pictures, so reading what they do not need delays the next page.
    return await context.stores.captured_frames.of(frame_id)


def _wanted(shown: ShownImage, size: str, region: Box | None) -> PictureRequest:
    """The picture in one of the sizes."""
    image = shown.image
    window = window_of(region, (image.width, image.height), ASPECT) if region else None
    width = _width(size, image.width, window)
    height = max(1, round(width / (ASPECT if window else image.width / image.height)))
    return PictureRequest(shown, window, width, height, region if size in _OUTLINED else None)


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
    if not all(math.isfinite(v) and abs(v) < _MAX_COORDINATE for v in (x, y, width, height)):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "A box is x,y,width,height.")
    return (x, y, max(width, 1.0), max(height, 1.0))
