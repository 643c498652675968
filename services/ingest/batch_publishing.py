"""Publishes one batch of frames: check, store, number, publish, record."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.contracts.events import FrameCaptured
from services.formats.frames import OpenedFrame, refused, stored_at, undecodable
from services.formats.items import Rejection
from services.formats.rejections import dead_letter
from services.ground_truth.drafts import Draft
from services.ground_truth.publishing import RevisionPublisher, Submission, frame_conflict
from services.ingest.batches import Batch
from services.ingest.parts import IngestParts


@dataclass(frozen=True)
class Outcome:
    """The outcome of a batch.

    Attributes
    ----------
    known : drafts that an earlier run has published
    """

    published: Sequence[Draft]
    known: Sequence[Draft]
    rejections: Sequence[Rejection]


@dataclass(frozen=True)
class BatchPublisher:
    """Publishes batches. A batch that failed may be published again unchanged."""

    parts: IngestParts
    publisher: RevisionPublisher

    async def publish(self, batch: Batch) -> Outcome:
        """Return once everything is acknowledged and recorded in the ledger.

        Raises
        ------
        Transient
            A store or the broker is unreachable.
        """
        new, known = await self._unpublished(batch.frames)
        decodable, undecoded = await self._decodable(new)
        passing, conflicts = await self._without_conflicts(decodable)
        # Store images only now, so that a refused frame leaves none in the store.
        stored = await asyncio.gather(*(asyncio.to_thread(self._store, item) for item in passing))
        rejections = [*batch.rejections, *undecoded, *conflicts]
        dead = [dead_letter(rejection, self.parts.clock.now()) for rejection in rejections]
        await self.publisher.publish(_submissions(stored), dead)
        return Outcome([draft for frame in stored for draft in frame.drafts], known, rejections)

    async def _unpublished(
        self, frames: Sequence[OpenedFrame]
    ) -> tuple[list[OpenedFrame], list[Draft]]:
        """The frames with their new drafts, and the drafts that are published already."""
        entries = [submission.entry for submission in _submissions(frames)]
        published = await self.parts.ledger.published(entries)
        unpublished, known = [], []
        for frame in frames:
            submissions = _submissions([frame])
            known += [item.draft for item in submissions if item.entry in published]
            new = tuple(item.draft for item in submissions if item.entry not in published)
            if new:
                unpublished.append(replace(frame, drafts=new))
        return unpublished, known

    async def _decodable(
        self, frames: Sequence[OpenedFrame]
    ) -> tuple[list[OpenedFrame], list[Rejection]]:
        """The frames whose new images can be decoded, and the others' rejections."""
        checks = (asyncio.to_thread(self._undecodable, frame) for frame in frames)
        refusals = await asyncio.gather(*checks)
        decodable = [
            frame for frame, refusal in zip(frames, refusals, strict=True) if refusal is None
        ]
        return decodable, [refusal for refusal in refusals if refusal is not None]

    def _undecodable(self, frame: OpenedFrame) -> Rejection | None:
        return undecodable(frame, self.parts.image_limits) if _captured(frame) else None

    async def _without_conflicts(
        self, frames: Sequence[OpenedFrame]
    ) -> tuple[list[OpenedFrame], list[Rejection]]:
        """The frames whose ids are free or their own, and the others' rejections."""
        # Frames are numbered before their other events, so that ground truth of another image
        # with the same id never becomes a revision of this one.
        captured = [draft for draft in map(_captured, frames) if draft]
        conflicting = {id(draft) for draft in await self.publisher.conflicting(captured)}
        kept, rejections = [], []
        for frame in frames:
            draft = _captured(frame)
            if draft is None or id(draft) not in conflicting:
                kept.append(frame)
                continue
            error = frame_conflict(draft)
            rejections.append(refused(frame.item, error.reason, str(error)))
        return kept, rejections

    def _store(self, frame: OpenedFrame) -> OpenedFrame:
        """The frame, with its new image in the store."""
        if _captured(frame) is None:
            return frame
        assert frame.content is not None
        uri = self.parts.blobs.put(frame.content)
        drafts = (
            stored_at(draft, uri) if isinstance(draft, FrameCaptured) else draft
            for draft in frame.drafts
        )
        return replace(frame, drafts=tuple(drafts))


def _captured(frame: OpenedFrame) -> FrameCaptured | None:
    return next((draft for draft in frame.drafts if isinstance(draft, FrameCaptured)), None)


def _submissions(frames: Iterable[OpenedFrame]) -> list[Submission]:
    # A frame is captured once, whatever was undone.
    return [
        Submission(draft, "" if isinstance(draft, FrameCaptured) else frame.tag)
        for frame in frames
        for draft in frame.drafts
    ]
