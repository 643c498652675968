"""Checks a batch before it is published, and leaves out what must not be."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from services.contracts.events import FrameAnnotated
from services.domain.erasure import ERASED
from services.domain.ports.held_corrections import HeldCorrection, HeldOutcome
from services.formats.frames import refused
from services.ground_truth.answers import entry_of_versions
from services.ground_truth.drafts import frame_subject, tags_of
from services.ground_truth.holding import IncomingCorrection
from services.ground_truth.publishing import Journal
from services.ingest.batches import Batch
from services.ingest.parts import IngestParts
from services.ingest.source import Source
from services.runtime.observability import metrics

Check = Callable[[Batch], Awaitable[Batch]]
"""Returns what is left of a batch. A check that failed may be repeated."""


@dataclass(frozen=True)
class BatchChecks:
    """The checks of batches that come one way.

    Each raises StoreUnavailable if a store does not answer.

    Parameters
    ----------
    journal : knows of which frames an import was undone; None if nothing is noted
    """

    parts: IngestParts
    way: str
    journal: Journal | None = None

    def of(self, source: Source) -> Sequence[Check]:
        """The checks of a data set of this origin, in their order."""
        checks = [self.without_erased, self.without_unknown]
        if source is Source.REANNOTATION:
            return [*checks, self.tagged, self.undone_tagged, self.without_held]
        return [*checks, self.undone_tagged]

    async def without_erased(self, batch: Batch) -> Batch:
        """The batch without erased frames, nor what was refused of them.

        They are no rejections, because a dead letter would keep what was erased.
        """
        frames = {frame.item.frame_id for frame in batch.frames}
        refused_parts = {item.frame_id for item in batch.rejections if item.frame_id is not None}
        erased = await self.parts.tombstones.erased(frames | refused_parts)
        metrics.RECORDS_REJECTED.labels(ERASED, self.way).inc(len(erased))
        return replace(
            batch,
            frames=[frame for frame in batch.frames if frame.item.frame_id not in erased],
            rejections=[item for item in batch.rejections if item.frame_id not in erased],
            erased=len(erased),
        )

    async def without_unknown(self, batch: Batch) -> Batch:
        """The batch, with records refused that name unpublished frames and bring no image."""
        bare = [frame for frame in batch.frames if frame.content is None]
        subjects = [frame_subject(frame.item.frame_id) for frame in bare]
        known = await self.parts.ledger.known(subjects) if subjects else set()
        kept, rejections = [], list(batch.rejections)
        for frame in batch.frames:
            frame_id = frame.item.frame_id
            if frame.content is not None or frame_subject(frame_id) in known:
                kept.append(frame)
            else:
                detail = f"no picture of {frame_id} was ever published"
                rejections.append(refused(frame.item, "unknown_frame", detail))
        return replace(batch, frames=kept, rejections=rejections)

    async def tagged(self, batch: Batch) -> Batch:
        """The corrections, with a tag on those that return to earlier content."""
        corrected = [frame for frame in batch.frames if frame.versions]
        entries = [entry_of_versions(frame.versions) for frame in corrected]
        tags = iter(await tags_of(self.way, entries, self.parts.ledger))
        frames = [
            replace(frame, tag=next(tags)) if frame.versions else frame for frame in batch.frames
        ]
        return replace(batch, frames=frames)

    async def undone_tagged(self, batch: Batch) -> Batch:
        """The batch, with a tag on frames of which an import was undone, to be published again."""
        if self.journal is None:
            return batch
        undone = await self.journal.undone({frame.item.frame_id for frame in batch.frames})
        frames = [
            replace(frame, tag=f"{frame.tag} {undone.get(frame.item.frame_id, '')}".strip())
            for frame in batch.frames
        ]
        return replace(batch, frames=frames)

    async def without_held(self, batch: Batch) -> Batch:
        """The batch without corrections that raise a question, which are held.

        The others are as they are published, after their corrections.
        """
        corrected = [frame for frame in batch.frames if frame.versions]
        judged = await self.parts.gate.judged(
            [
                IncomingCorrection(frame.versions, frame.item.location, frame.tag)
                for frame in corrected
            ]
        )
        passing = [
            replace(frame, drafts=(outcome,))
            for frame, outcome in zip(corrected, judged, strict=True)
            if isinstance(outcome, FrameAnnotated)
        ]
        others = [frame for frame in batch.frames if not frame.versions]
        held = [outcome for outcome in judged if isinstance(outcome, HeldCorrection)]
        waiting = [correction for correction in held if correction.outcome is HeldOutcome.WAITING]
        settled = len(held) - len(waiting)
        return replace(batch, frames=[*passing, *others], held=waiting, settled=settled)
