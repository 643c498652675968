"""Process authorised HTTP requests: check, store, number, publish."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated, FrameCaptured
from services.contracts.identity import FrameId
from services.domain.erasure import erased_frame
from services.domain.namespaces import Vehicle, foreign_drive, foreign_frame
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.held_corrections import HeldCorrection
from services.domain.ports.ledger import RevisionLedger
from services.domain.ports.shortlists import ShortlistStore
from services.formats.capture_metadata import CaptureMetadata, capture_metadata
from services.formats.frames import image_of, stored_at
from services.formats.visible_names import check_names
from services.ground_truth.drafts import (
    Draft,
    entry_of,
    frame_subject,
    owner_entry,
    tagged,
    tags_of,
)
from services.ground_truth.holding import CorrectionGate, IncomingCorrection
from services.ground_truth.publishing import (
    Accepted,
    RevisionPublisher,
    Submission,
    frame_conflict,
)
from services.ingest.api.bodies import FrameMetadata
from services.runtime.images import ImageFacts, ImageLimits, inspect
from services.runtime.observability import metrics
from services.runtime.step import Outbox

WAY = "http"
DECODERS = 4
"""Images decoded concurrently; each may take 4 bytes per allowed pixel."""


@dataclass(frozen=True)
class CorrectionHolder:
    """Holds corrections that raise a question.

    Ground truth is a correction if its frame has some already or is on a shortlist, whatever its
    source. The first ground truth of any other frame may introduce new categories.
    """

    gate: CorrectionGate
    ledger: RevisionLedger
    shortlists: ShortlistStore

    async def sift(
        self, drafts: Sequence[Draft], tags: Sequence[str]
    ) -> list[Draft | HeldCorrection]:
        """For each draft, the draft to publish, or the correction that is held.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        incoming = {
            at: IncomingCorrection((draft,), WAY, tags[at])
            for at, draft in enumerate(drafts)
            if isinstance(draft, FrameAnnotated)
        }
        corrections = await self._corrections(incoming)
        judged = await self.gate.judged([incoming[at] for at in corrections])
        sifted: list[Draft | HeldCorrection] = list(drafts)
        for at, truth in zip(corrections, judged, strict=True):
            sifted[at] = truth
        return sifted

    async def _corrections(self, incoming: Mapping[int, IncomingCorrection]) -> list[int]:
        """The positions of new corrections among these drafts."""
        frames = {at: correction.versions[0].frame_id for at, correction in incoming.items()}
        entries = {
            at: tagged(entry_of(correction.versions[0]), correction.tag)
            for at, correction in incoming.items()
        }
        published = await self.ledger.published(entries.values())
        annotated = await self.ledger.known([entry.subject for entry in entries.values()])
        listed = await self.shortlists.memberships(frames.values())
        shortlisted = {frame_id for (frame_id, _), item in listed.items() if item.shortlisted}
        return [
            at
            for at, entry in entries.items()
            if entry not in published and (entry.subject in annotated or frames[at] in shortlisted)
        ]


def _is_of_annotators(draft: Draft) -> TypeGuard[FrameAnnotated]:
    """Whether the draft is ground truth from the annotation team."""
    return isinstance(draft, FrameAnnotated) and draft.annotation_source == REANNOTATION_SOURCE


class Acceptance:
    """Publishes clients' records; every call returns once the broker has acknowledged.

    A repeated call is acknowledged again, as the same event.

    Parameters
    ----------
    holder : holds corrections that raise a question; None publishes all
    tombstones : the erased frames, of which nothing is taken; None takes everything
    """

    def __init__(
        self,
        outbox: Outbox,
        blobs: BlobStore,
        ledger: RevisionLedger,
        limits: ImageLimits,
        holder: CorrectionHolder | None = None,
        *,
        tombstones: TombstoneStore | None = None,
    ) -> None:
        self._publisher = RevisionPublisher(ledger, outbox, WAY)
        self._blobs = blobs
        self._ledger = ledger
        self._limits = limits
        self._holder = holder
        self._tombstones = tombstones
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
            facts, found = await asyncio.to_thread(self._read, content)
        draft = FrameCaptured(
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
        check_names(draft)
        if await self.erased([metadata.frame_id]):
            raise erased_frame(metadata.frame_id)
        if not all(await self.claimed([metadata.frame_id], vehicle)):
            raise foreign_frame(metadata.frame_id, vehicle)
        await self._check_drive(metadata, vehicle)
        # Reserved before its image is stored: a refused frame leaves nothing in the store.
        if await self._publisher.conflicting([draft]):
            raise frame_conflict(draft)
        uri = await asyncio.to_thread(self._blobs.put, content)
        (accepted,) = await self._publisher.publish([Submission(stored_at(draft, uri))])
        metrics.VEHICLE_LAST_FRAME.labels(
            metrics.VEHICLES(vehicle.vehicle_id)
        ).set_to_current_time()
        return accepted

    async def erased(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        """Those of the frames that were erased on request."""
        return await self._tombstones.erased(frame_ids) if self._tombstones else set()

    def _read(self, content: bytes) -> tuple[ImageFacts, CaptureMetadata]:
        facts = inspect(content, self._limits)
        return facts, capture_metadata(facts)

    async def claimed(self, frame_ids: Sequence[FrameId], vehicle: Vehicle) -> list[bool]:
        """Whether each frame belongs to the vehicle.

        A frame inside the vehicle's namespace does, unless another vehicle used its id before
        namespaces existed. A frame outside does only if the vehicle itself used its id then.
        """
        inside = [frame_id for frame_id in frame_ids if vehicle.owns(frame_id)]
        claims = [owner_entry(frame_id, vehicle.vehicle_id) for frame_id in frame_ids]
        await self._ledger.assign([owner_entry(item, vehicle.vehicle_id) for item in inside])
        owners = await self._ledger.first([claim.subject for claim in claims])
        return [owners.get(claim.subject) == claim.digest for claim in claims]

    async def _check_drive(self, metadata: FrameMetadata, vehicle: Vehicle) -> None:
        if metadata.drive_id is None or vehicle.owns(metadata.drive_id):
            return
        # A frame captured before namespaces existed may be sent again unchanged.
        captured = frame_subject(metadata.frame_id)
        if captured not in await self._ledger.first([captured]):
            raise foreign_drive(metadata.drive_id, vehicle)

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
        sifted: Sequence[Draft | HeldCorrection] = drafts
        if self._holder:
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
        corrections = [at for at, draft in enumerate(drafts) if _is_of_annotators(draft)]
        tags = [""] * len(drafts)
        entries = [entry_of(drafts[at]) for at in corrections]
        for at, tag in zip(corrections, await tags_of(WAY, entries, self._ledger), strict=True):
            tags[at] = tag
        return tags
