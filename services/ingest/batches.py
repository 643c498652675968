"""Publish one batch of frames: check, store, number, publish, record."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.contracts.events import FrameAnnotated, FrameCaptured
from services.domain.erasure import ERASED
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.held_corrections import HeldCorrection
from services.formats.frames import OpenedFrame, refused, stored_at, undecodable
from services.formats.items import Rejection
from services.formats.rejections import dead_letter
from services.ground_truth.answers import entry_of_versions
from services.ground_truth.drafts import Draft, frame_subject, tags_of
from services.ground_truth.holding import CorrectionGate, IncomingCorrection
from services.ground_truth.publishing import (
    RevisionPublisher,
    Submission,
    frame_conflict,
)
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.observability import metrics


@dataclass(frozen=True)
class Batch:
    """Opened frames, and the rejections so far."""

    frames: Sequence[OpenedFrame]
    rejections: Sequence[Rejection]


async def sifted(gate: CorrectionGate, batch: Batch) -> tuple[Batch, list[HeldCorrection]]:
    """Split the batch into publishable frames and held corrections.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    corrected = [frame for frame in batch.frames if frame.versions]
    judged = await gate.judged(
        [IncomingCorrection(frame.versions, frame.item.location, frame.tag) for frame in corrected]
    )
    held = [outcome for outcome in judged if isinstance(outcome, HeldCorrection)]
    passing = [
        replace(frame, drafts=(outcome,))
        for frame, outcome in zip(corrected, judged, strict=True)
        if isinstance(outcome, FrameAnnotated)
    ]
    without_truth = [frame for frame in batch.frames if not frame.versions]
    return Batch([*passing, *without_truth], batch.rejections), held


@dataclass
class Outcome:
    """The outcome of a batch."""

    published: list[Draft] = field(default_factory=list)
    known: list[Draft] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class _Pending:
    """A frame and its drafts that the broker has not acknowledged yet."""

    frame: OpenedFrame
    drafts: tuple[Draft, ...]

    @property
    def submissions(self) -> list[Submission]:
        # A frame is captured once, whatever was undone.
        return [
            Submission(draft, "" if isinstance(draft, FrameCaptured) else self.frame.tag)
            for draft in self.drafts
        ]

    @property
    def captured(self) -> FrameCaptured | None:
        return next((draft for draft in self.drafts if isinstance(draft, FrameCaptured)), None)


@dataclass(frozen=True)
class BatchPublisher:
    """Publishes batches. A batch that failed may be published again unchanged.

    A correction that returns to earlier content of the publisher's way is a new one.

    Parameters
    ----------
    tombstones : the erased frames, which `without_erased` leaves out; None leaves out none
    """

    publisher: RevisionPublisher
    blobs: BlobStore
    limits: ImageLimits
    clock: Clock
    tombstones: TombstoneStore | None = None

    async def publish(self, batch: Batch) -> Outcome:
        """Return once everything is acknowledged and recorded in the ledger.

        Raises
        ------
        Transient
            A store or the broker is unreachable.
        """
        outcome = Outcome(rejections=list(batch.rejections))
        pending = await self._unpublished(await self._tagged(batch.frames), outcome)
        pending = await self._decodable(pending, outcome)
        pending = await self._without_conflicts(pending, outcome)
        # Store images only now, so that a refused frame leaves none in the store.
        pending = await asyncio.gather(*(asyncio.to_thread(self._store, item) for item in pending))
        outcome.published = [draft for item in pending for draft in item.drafts]
        submissions = [submission for item in pending for submission in item.submissions]
        dead = [dead_letter(rejection, self.clock.now()) for rejection in outcome.rejections]
        await self.publisher.publish(submissions, dead)
        return outcome

    async def without_erased(self, batch: Batch) -> tuple[Batch, int]:
        """The batch without erased frames, and their number.

        They are no rejections, because a dead letter would keep what was erased.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        if self.tombstones is None:
            return batch, 0
        erased = await self.tombstones.erased({frame.item.frame_id for frame in batch.frames})
        kept = [frame for frame in batch.frames if frame.item.frame_id not in erased]
        refused_frames = len(batch.frames) - len(kept)
        metrics.RECORDS_REJECTED.labels(ERASED, self.publisher.way).inc(refused_frames)
        return Batch(kept, batch.rejections), refused_frames

    async def refuse_unknown(self, batch: Batch) -> Batch:
        """The batch, with records refused that name unpublished frames and bring no image."""
        subjects = [frame_subject(frame.item.frame_id) for frame in batch.frames]
        bare = [
            subject
            for frame, subject in zip(batch.frames, subjects, strict=True)
            if frame.content is None
        ]
        known = await self.publisher.ledger.known(bare) if bare else set()
        published, rejections = [], list(batch.rejections)
        for frame, subject in zip(batch.frames, subjects, strict=True):
            if frame.content is not None or subject in known:
                published.append(frame)
            else:
                detail = f"no picture of {frame.item.frame_id} was ever published"
                rejections.append(refused(frame.item, "unknown_frame", detail))
        return Batch(published, rejections)

    async def recognised(self, batch: Batch) -> Batch:
        """The corrections, with a tag on those that return to earlier content."""
        corrections = [frame for frame in batch.frames if frame.versions]
        entries = [entry_of_versions(frame.versions) for frame in corrections]
        tags = await tags_of(self.publisher.way, entries, self.publisher.ledger)
        tag_of = dict(zip(map(id, corrections), tags, strict=True))
        frames = [replace(frame, tag=tag_of.get(id(frame), "")) for frame in batch.frames]
        return Batch(frames, batch.rejections)

    async def _tagged(self, frames: Sequence[OpenedFrame]) -> Sequence[OpenedFrame]:
        """The frames; with a tag on those of which an import was undone, to be published again."""
        journal = self.publisher.journal
        if journal is None:
            return frames
        tags = await journal.undone({frame.item.frame_id for frame in frames})
        return [replace(f, tag=f.tag or tags.get(f.item.frame_id, "")) for f in frames]

    async def _unpublished(self, frames: Sequence[OpenedFrame], outcome: Outcome) -> list[_Pending]:
        whole = [_Pending(frame, frame.drafts) for frame in frames]
        entries = [submission.entry for item in whole for submission in item.submissions]
        published = await self.publisher.ledger.published(entries)
        pending = []
        for item in whole:
            outcome.known += [
                submission.draft for submission in item.submissions if submission.entry in published
            ]
            new = tuple(
                submission.draft
                for submission in item.submissions
                if submission.entry not in published
            )
            if new:
                pending.append(_Pending(item.frame, new))
        return pending

    async def _decodable(self, pending: Sequence[_Pending], outcome: Outcome) -> list[_Pending]:
        checks = (asyncio.to_thread(self._undecodable, item) for item in pending)
        refusals = await asyncio.gather(*checks)
        outcome.rejections += [rejection for rejection in refusals if rejection is not None]
        return [item for item, refusal in zip(pending, refusals, strict=True) if refusal is None]

    def _undecodable(self, pending: _Pending) -> Rejection | None:
        return undecodable(pending.frame, self.limits) if pending.captured else None

    def _store(self, pending: _Pending) -> _Pending:
        if pending.captured is None:
            return pending
        assert pending.frame.content is not None
        uri = self.blobs.put(pending.frame.content)
        drafts = (
            stored_at(draft, uri) if isinstance(draft, FrameCaptured) else draft
            for draft in pending.drafts
        )
        return _Pending(pending.frame, tuple(drafts))

    async def _without_conflicts(
        self, pending: Sequence[_Pending], outcome: Outcome
    ) -> list[_Pending]:
        # Frames are numbered before their other events, so that ground truth of another image
        # with the same id never becomes a revision of this one.
        captured = [item.captured for item in pending if item.captured]
        conflicting = {id(frame) for frame in await self.publisher.conflicting(captured)}
        kept = []
        for item in pending:
            if item.captured is None or id(item.captured) not in conflicting:
                kept.append(item)
                continue
            error = frame_conflict(item.captured)
            outcome.rejections.append(refused(item.frame.item, error.reason, str(error)))
        return kept
