"""Images as they were captured, for the few who may see what others see redacted."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.contracts.errors import MissingImage
from services.contracts.identity import FrameId, frame_hash
from services.domain.erasure import erased_frame
from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.frames import FrameStore
from services.ingest.api.calling import Credentials, FindCaller
from services.runtime.clock import Clock
from services.runtime.http.answers import Refused

_HEADERS = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Originals:
    """Reads original images, and records who was given which."""

    frames: FrameStore
    blobs: BlobStore
    tombstones: TombstoneStore
    audit: AuditLog
    clock: Clock

    async def read(self, frame_id: FrameId, viewer: str) -> tuple[bytes, str]:
        """An image and its media type, recorded before it is returned.

        The record has the hash of the frame's id, because the frame may be erased later.

        Raises
        ------
        InvalidRecord
            `erased_frame`: the frame is erased.
        MissingImage
            The frame, or its image, is not stored.
        StoreUnavailable
            A store does not answer.
        """
        if await self.tombstones.erased([frame_id]):
            raise erased_frame(frame_id)
        record = (await self.frames.load([frame_id])).get(frame_id)
        if record is None or record.captured is None:
            raise MissingImage(f"no image of the frame {frame_id} is stored")
        image = record.captured.image
        content = await asyncio.to_thread(self.blobs.get, image.uri)
        on = f"frame {frame_hash(frame_id)}"
        await self.audit.append(AuditRecord(self.clock.now(), AuditAct.ORIGINAL_SHOWN, viewer, on))
        return content, image.media_type


def originals_route(originals: Originals, caller: FindCaller) -> APIRouter:
    """The route of original images."""
    router = APIRouter()

    @router.get("/v1/originals", response_class=Response)
    async def original(
        frame_id: Annotated[str, Query(min_length=1)], credentials: Credentials
    ) -> Response:
        """A frame's image as it was captured, for tokens of the scope `originals`; audited."""
        viewer = (await caller(credentials)).scope.viewer
        if viewer is None:
            detail = "this route needs an originals token"
            raise Refused(HTTPStatus.FORBIDDEN, "wrong_scope", detail)
        try:
            content, media_type = await originals.read(FrameId(frame_id), viewer)
        except MissingImage as exc:
            raise Refused(HTTPStatus.NOT_FOUND, exc.reason, str(exc)) from exc
        return Response(content, media_type=media_type, headers=_HEADERS)

    return router
