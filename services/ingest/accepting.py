"""Process authorised HTTP requests: check, store, number, publish."""

import asyncio
from collections.abc import Sequence

from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated, FrameCaptured
from services.domain.erasure import erased_frame
from services.domain.namespaces import Vehicle
from services.domain.ports.held_corrections import HeldCorrection
from services.formats.capture_metadata import capture_metadata
from services.formats.frames import image_of, stored_at
from services.formats.visible_names import check_names
from services.ground_truth.drafts import Draft, entry_of, tags_of
from services.ground_truth.publishing import Accepted, RevisionPublisher, Submission, frame_conflict
from services.ingest import ways
from services.ingest.api.bodies import FrameMetadata
from services.ingest.correction_holder import CorrectionHolder
from services.ingest.parts import IngestParts
from services.ingest.vehicle_claims import VehicleClaims
from services.runtime.images import ImageLimits, inspect
from services.runtime.observability import metrics
from services.runtime.observability.bounded_labels import VEHICLES

DECODERS = 4
"""Images decoded concurrently; each may take 4 bytes per allowed pixel."""


class Acceptance:
    """Publishes clients' records; every call returns once the broker has acknowledged.

    A repeated call is acknowledged again, as the same event.

    Parameters
    ----------
    holder : holds corrections that raise a question
    """

    def __init__(self, parts: IngestParts, holder: CorrectionHolder) -> None:
        self._parts = parts
        self._holder = holder
        self._publisher = RevisionPublisher(parts.ledger, parts.outbox, ways.HTTP)
        self._claims = VehicleClaims(parts.ledger)
        self._decoders = asyncio.Semaphore(DECODERS)

    async def frame(self, content: bytes, metadata: FrameMetadata, vehicle: Vehicle) -> Accepted:
        """Publish a vehicle's image; its position comes from the image where the metadata has none.

        Raises
        ------
        InvalidImage, InvalidRecord
            The image is incomplete or not allowed; the id is taken (`duplicate_id`), outside the
            vehicle's namespace (`foreign_frame`, `foreign_drive`), or contains an invisible
            character (`hidden_character`), or is erased (`erased_frame`).
        Transient
            A store or the broker is away.
        """
        async with self._decoders:
            draft = await asyncio.to_thread(
                _drafted, content, metadata, vehicle, self._parts.image_limits
            )
        check_names(draft)
        if await self._parts.tombstones.erased([draft.frame_id]):
            raise erased_frame(draft.frame_id)
        await self._claims.require(draft, vehicle)
        # Reserved before its image is stored: a refused frame leaves nothing in the store.
        if await self._publisher.conflicting([draft]):
            raise frame_conflict(draft)
        uri = await asyncio.to_thread(self._parts.blobs.put, content)
        (accepted,) = await self._publisher.publish([Submission(stored_at(draft, uri))])
        metrics.VEHICLE_LAST_FRAME.labels(VEHICLES(vehicle.vehicle_id)).set_to_current_time()
        return accepted

    async def publish(self, drafts: Sequence[Draft]) -> list[Accepted | HeldCorrection]:
        """Number and publish drafts without questions; hold the rest.

        Raises
        ------
        InvalidRecord
            `duplicate_id`: a frame is known with another image.
        Transient
            A store or the broker is unreachable.
        """
        tags = await self._tags(drafts)
        sifted = await self._holder.sift(drafts, tags)
        passing = [
            Submission(draft, tag)
            for draft, tag in zip(sifted, tags, strict=True)
            if not isinstance(draft, HeldCorrection)
        ]
        accepted = iter(await self._publisher.publish(passing))
        return [
            correction if isinstance(correction, HeldCorrection) else next(accepted)
            for correction in sifted
        ]

    async def _tags(self, drafts: Sequence[Draft]) -> list[str]:
        truths: dict[str, list[int]] = {ways.HTTP: [], ways.HTTP_IMPORT: []}
        for at, draft in enumerate(drafts):
            if isinstance(draft, FrameAnnotated):
                truths[_way_of(draft)].append(at)
        tags = [""] * len(drafts)
        for way, positions in truths.items():
            entries = [entry_of(drafts[at]) for at in positions]
            found = await tags_of(way, entries, self._parts.ledger)
            for at, tag in zip(positions, found, strict=True):
                tags[at] = tag
        return tags


def _way_of(truth: FrameAnnotated) -> str:
    """The input path on which a change back is recognised."""
    is_correction = truth.annotation_source == REANNOTATION_SOURCE
    return ways.HTTP if is_correction else ways.HTTP_IMPORT


def _drafted(
    content: bytes, metadata: FrameMetadata, vehicle: Vehicle, limits: ImageLimits
) -> FrameCaptured:
    """Decode the image, and draft its event."""
    facts = inspect(content, limits)
    found = capture_metadata(facts)
    return FrameCaptured(
        frame_id=metadata.frame_id,
        vehicle_id=vehicle.vehicle_id,
        drive_id=metadata.drive_id,
        captured_at=metadata.captured_at,
        position=metadata.position or found.position,
        image=image_of(content, facts),
        tags=metadata.tags,
        vector=metadata.vector,
        camera=found.camera,
    )
