"""HTTP routes for Label Studio's webhooks and for images in annotators' browsers."""

import asyncio
import hmac
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from services.annotation.label_studio.links import PATH, ImageLinks
from services.annotation.label_studio.project import EVENTS_PATH, SECRET_HEADER
from services.annotation.ports.annotation_tasks import AnnotationTasks
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameStore
from services.domain.redaction import HiddenImage
from services.runtime.clock import Clock
from services.runtime.http.answers import Refused
from services.runtime.http.image_caching import cache_control
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages


def event_routes(tasks: AnnotationTasks, settings: Settings) -> APIRouter:
    """The webhook route. A call only triggers a pull; its content is ignored as untrusted."""
    router = APIRouter(include_in_schema=False)
    secret = settings.label_studio_webhook_secret.get_secret_value()

    @router.post(EVENTS_PATH, status_code=HTTPStatus.ACCEPTED)
    async def event(request: Request) -> dict[str, str]:
        """Record that something has changed; must answer within Label Studio's limit of 1 s."""
        presented = request.headers.get(SECRET_HEADER, "")
        same = hmac.compare_digest(presented.encode(), secret.encode())
        if not secret or not same:
            detail = f"the header {SECRET_HEADER} is missing or wrong"
            raise Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", detail)
        await tasks.note_webhook()
        return {"status": "noted"}

    return router


def image_routes(
    links: ImageLinks, frames: FrameStore, images: ShownImages, settings: Settings, clock: Clock
) -> APIRouter:
    """Images by signed link: of known frames only, never by path or URL."""
    router = APIRouter(include_in_schema=False)
    tool = urlsplit(settings.label_studio_url)
    headers = {
        "Cache-Control": cache_control(redacts=images.redacts),
        "Content-Security-Policy": "default-src 'none'",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": f"{tool.scheme}://{tool.netloc}",
        "Vary": "Origin",
    }

    @router.get(f"{PATH}/{{frame_id:path}}")
    async def image(frame_id: str, until: str = "", signature: str = "") -> Response:
        """The image as people see it; where nothing is redacted, as the vehicle sent it."""
        frame = FrameId(frame_id)
        if not await links.is_good(frame, until, signature, clock.now()):
            detail = "this link is not ours, or has ended"
            raise Refused(HTTPStatus.FORBIDDEN, "bad_link", detail)
        record = (await frames.load([frame])).get(frame)
        if record is None or record.captured is None:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown_frame", "there is no such frame")
        try:
            shown = images.of_frame(record)
        except HiddenImage as exc:
            raise Refused(HTTPStatus.NOT_FOUND, exc.reason, str(exc)) from exc
        content = await asyncio.to_thread(images.content, shown)
        return Response(content, media_type=shown.image.media_type, headers=headers)

    return router
