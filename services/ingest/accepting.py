"""What the HTTP interface does with a request that may be made: check, store, number, publish."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameCaptured, Image
from services.contracts.identity import EventId, FrameId, VehicleId
from services.contracts.topics import topic_of
from services.ingest.drafts import Draft, entry_of, numbered, owner_entry
from services.ingest.http_bodies import FrameMetadata
from services.runtime import metrics
from services.runtime.images import ImageLimits, inspect
from services.runtime.step import Outbox
from services.runtime.stores.blobs import BlobStore
from services.runtime.stores.ledger import RevisionLedger


def foreign_frame(frame_id: FrameId) -> InvalidRecord:
    """What a vehicle is told that names another one's frame."""
    return InvalidRecord(f"frame {frame_id} is another vehicle's", reason="foreign_frame")


log = structlog.get_logger(__name__)

DECODERS = 4
"""Images decoded at once: each may take 4 bytes for each allowed pixel."""


@dataclass(frozen=True)
class Accepted:
    """What the broker has acknowledged."""

    frame_id: FrameId
    event_id: EventId
    revision: int


class Acceptance:
    """Takes what clients send to the broker; every call returns once it is acknowledged.

    A repeated call is acknowledged again, as the same event.
    """

    def __init__(
        self, outbox: Outbox, blobs: BlobStore, ledger: RevisionLedger, limits: ImageLimits
    ) -> None:
        self._outbox = outbox
        self._blobs = blobs
        self._ledger = ledger
        self._limits = limits
        self._decoders = asyncio.Semaphore(DECODERS)

    async def frame(
        self, content: bytes, metadata: FrameMetadata, vehicle_id: VehicleId
    ) -> Accepted:
        """A vehicle's picture.

        Raises
        ------
        InvalidImage, InvalidRecord
            The picture is not complete or not allowed; the id is taken (`duplicate_id`), or
            another vehicle's (`foreign_frame`).
        Transient
            A store or the broker is away.
        """
        async with self._decoders:
            facts = await asyncio.to_thread(inspect, content, self._limits)
        if not all(await self.claimed([metadata.frame_id], vehicle_id)):
            raise foreign_frame(metadata.frame_id)
        uri = await asyncio.to_thread(self._blobs.put, content)
        image = Image(
            sha256=hashlib.sha256(content).hexdigest(),
            uri=uri,
            size_bytes=len(content),
            media_type=facts.media_type,
            width=facts.width,
            height=facts.height,
        )
        draft = FrameCaptured(
            frame_id=metadata.frame_id,
            vehicle_id=vehicle_id,
            drive_id=metadata.drive_id,
            captured_at=metadata.captured_at,
            position=metadata.position,
            image=image,
        )
        (accepted,) = await self.publish([draft])
        return accepted

    async def claimed(self, frame_ids: Sequence[FrameId], vehicle_id: VehicleId) -> list[bool]:
        """Whether each frame is the vehicle's: whoever names a frame first has it."""
        claims = [owner_entry(frame_id, vehicle_id) for frame_id in frame_ids]
        return [place == 1 for place in await self._ledger.assign(claims)]

    async def publish(self, drafts: Sequence[Draft]) -> list[Accepted]:
        """Number and publish.

        Raises
        ------
        InvalidRecord
            `duplicate_id`: a frame is known with another picture.
        Transient
            A store or the broker is away.
        """
        events, conflicts = await numbered(drafts, self._ledger)
        if conflicts:
            detail = f"frame {conflicts[0].frame_id} is known with another picture, time or place"
            raise InvalidRecord(detail, reason="duplicate_id")
        await self._outbox.publish(events)
        await self._ledger.confirm([entry_of(draft) for draft in drafts])
        for event in events:
            metrics.FRAMES_INGESTED.labels(topic_of(event).name, "http").inc()
            log.debug("record_accepted", event_id=event.event_id, frame_id=event.frame_id)
            if isinstance(event, FrameCaptured):
                vehicle = metrics.VEHICLES(event.vehicle_id)
                metrics.VEHICLE_LAST_FRAME.labels(vehicle).set_to_current_time()
        return [
            Accepted(event.frame_id, event.event_id, getattr(event, "revision", 1))
            for event in events
        ]
