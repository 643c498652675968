"""embedder: computes vectors of all captured frames, and of detections with a sufficient score."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from services.contracts.errors import Fatal, Invalid
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import DetectorId, FrameId, ModelId, region_point_id
from services.domain.chunks import chunks
from services.domain.ports import vectors as collections
from services.domain.ports.embeddings import EmbeddingRecord, Embeddings, Points
from services.domain.ports.frames import FrameStore
from services.domain.ports.vectors import Point, VectorStore, Where
from services.domain.redaction import is_named
from services.embedder import logic
from services.embedder.embedder import FrameVectors
from services.embedder.logic import EmbeddingTask
from services.embedder.vector_source import VectorSource
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.progress import report_progress
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.embedded_points import held_points, lost_frames

_POINTS_AT_ONCE = 512
"""Regions per write request."""
log = structlog.get_logger()


class EmbedFrames:
    """Embeds frames when their image is known, and regions that new predictions add.

    Each model has its own collections; the first model's become live under the aliases that
    searches use. Vectors are durable before the embedding store records them, and recorded before
    the event is published. The frame store is only read.
    """

    def __init__(
        self,
        source: VectorSource,
        embeddings: Embeddings,
        frames: FrameStore,
        vectors: VectorStore,
        *,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._source = source
        self._embeddings = embeddings
        self._frames = frames
        self._vectors = vectors
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._in_frames = collections.collection_of(collections.FRAME_VECTORS, source.model_id)
        self._in_regions = collections.collection_of(collections.REGION_VECTORS, source.model_id)
        self._prepared = False

    @property
    def model_id(self) -> ModelId:
        """The model whose collections this fills."""
        return self._source.model_id

    async def run(self, events: Sequence[Event]) -> None:
        frame_ids = await self._record(events)
        # Where misses are not mined, a batch of ground truth is nothing to do.
        if frame_ids:
            await self.embed(frame_ids)

    async def embed(self, frame_ids: Collection[FrameId]) -> None:
        """Embed what these frames lack, and publish their FrameEmbedded events.

        Raises
        ------
        Invalid
            An image cannot be read; all other frames are done.
        """
        await self._prepare()
        tasks = await self._tasks(frame_ids)
        await self._outbox.publish([task.embedded for task in tasks if task.stored])
        broken = await self._embed([task for task in tasks if not task.stored])
        done = [task for task in tasks if task.captured.frame_id not in broken]
        self._count([task for task in done if not task.stored], len(done))
        if broken:
            # All others are done, so only these fail when the runner retries each event alone.
            raise next(iter(broken.values()))

    async def holds(self, points: Points) -> bool:
        """Whether the vector store has at least this many points of the model."""
        return (await held_points(self._vectors, self.model_id)).cover(points)

    async def lost(self, embedded: Sequence[FrameEmbedded]) -> list[FrameId]:
        """Frames whose FrameEmbedded event names a vector that is missing."""
        return await lost_frames(self._vectors, embedded)

    async def _prepare(self) -> None:
        if self._prepared:
            return
        store, model = self._vectors, self._source
        await store.ensure(
            self._in_frames,
            model.frame_dimension,
            keywords=logic.FRAME_KEYWORDS,
            numbers=logic.FRAME_NUMBERS,
        )
        await store.ensure(
            self._in_regions,
            model.region_dimension,
            keywords=logic.REGION_KEYWORDS,
            numbers=logic.REGION_NUMBERS,
        )
        live = await collections.live_model(store, collections.REGION_VECTORS)
        if live is None:
            await store.alias(
                {
                    collections.FRAME_VECTORS: self._in_frames,
                    collections.REGION_VECTORS: self._in_regions,
                }
            )
        elif live != self.model_id:
            log.warning("another_model_is_live", live=live, filled=self._in_regions)
        self._prepared = True

    async def _record(self, events: Sequence[Event]) -> set[FrameId]:
        facts: list[FrameCaptured | PredictionsMade | FrameAnnotated] = []
        for event in events:
            match event:
                case PredictionsMade() if is_named(event, self._settings.redact_detector):
                    # What it finds is to be hidden, not to be searched.
                    continue
                case FrameCaptured() | PredictionsMade():
                    facts.append(event)
                case FrameAnnotated():
                    if self._settings.mine_misses:
                        facts.append(event)
                case _:
                    raise Fatal(f"embedder does not consume {type(event).__name__}")
        await self._embeddings.record(facts)
        return {fact.frame_id for fact in facts}

    async def _tasks(self, frame_ids: Collection[FrameId]) -> list[EmbeddingTask]:
        records = await self._embeddings.load(frame_ids)
        records |= await self._with_regions(records.values())
        score, rule = self._settings.region_score, self._settings.split_rule
        found = [
            logic.task_of(records[record], self._source, score, rule) for record in sorted(records)
        ]
        return [task for task in found if task is not None]

    async def _with_regions(
        self, records: Iterable[EmbeddingRecord]
    ) -> dict[FrameId, EmbeddingRecord]:
        """Those records that lack parts which another model has embedded, with these parts."""
        bare = {r.frame_id: r for r in records if r.lacks_regions(self.model_id)}
        frames = await self._frames.load(bare) if bare else {}
        return {
            frame_id: replace(
                record,
                waiting={**self._searched(frames[frame_id].predictions), **record.waiting},
                ground_truth=record.ground_truth
                or (frames[frame_id].ground_truth if record.ground_truth_revision else None),
            )
            for frame_id, record in bare.items()
            if frame_id in frames
        }

    def _searched(
        self, predictions: Mapping[DetectorId, PredictionsMade]
    ) -> dict[DetectorId, PredictionsMade]:
        redacting = self._settings.redact_detector
        return {
            detector: made
            for detector, made in predictions.items()
            if not is_named(made, redacting)
        }

    async def _embed(self, tasks: Sequence[EmbeddingTask]) -> dict[FrameId, Invalid]:
        """Embed pass by pass; store and publish.

        Returns
        -------
        The errors of frames that could not be embedded; all others are done.
        """
        broken: dict[FrameId, Invalid] = {}
        pending: list[tuple[EmbeddingTask, FrameVectors]] = []
        async with aclosing(self._source.passes(tasks)) as passes:
            async for done in passes:
                broken |= done.broken
                report_progress()
                # Several passes are stored at once: a write syncs files, however few its points.
                pending += zip(done.tasks, done.vectors, strict=True)
                if sum(1 + len(task.missing) for task, _ in pending) >= _POINTS_AT_ONCE:
                    await self._store(pending)
                    pending = []
        if pending:
            await self._store(pending)
        return broken

    async def _store(self, both: Sequence[tuple[EmbeddingTask, FrameVectors]]) -> None:
        """Store these vectors, and publish that they are stored."""
        rule = self._settings.split_rule
        regions = await asyncio.to_thread(self._region_points, both)
        frames = [logic.frame_point(task, vectors.frame, rule) for task, vectors in both]
        # In parts, because the client needs 30 bytes per number of a vector while it sends.
        for chunk in chunks(regions, _POINTS_AT_ONCE):
            await self._vectors.upsert(self._in_regions, chunk)
            report_progress()
        await self._vectors.upsert(self._in_frames, frames)
        await self._drop_stale([task for task, _ in both if task.revised])
        embedded = [task.embedded for task, _ in both]
        await self._embeddings.record(embedded)
        await self._outbox.publish(embedded)

    def _region_points(self, both: Sequence[tuple[EmbeddingTask, FrameVectors]]) -> list[Point]:
        rule = self._settings.split_rule
        return [
            point
            for task, vectors in both
            for point in logic.region_points(task, vectors.regions, rule)
        ]

    async def _drop_stale(self, tasks: Sequence[EmbeddingTask]) -> None:
        """Delete the vectors of regions that the frames' predictions no longer contain.

        By the frame's id instead of the former FrameEmbedded, because a crash may have left vectors
        for which no event was published. Another process may have embedded newer predictions of a
        frame meanwhile, whose vectors this task does not know: then they stay.
        """
        if not tasks:
            return
        now = await self._tasks([task.captured.frame_id for task in tasks])
        current = {task.captured.frame_id: task.embedded for task in now}
        for task in tasks:
            frame_id = task.captured.frame_id
            if current.get(frame_id) == task.embedded:
                where = Where(equals={"frame_id": frame_id})
                wanted = {
                    region_point_id(task.embedded.model, region_id)
                    for region_id in task.embedded.region_ids()
                }
                await self._vectors.delete_others(self._in_regions, where, wanted)

    def _count(self, fresh: Sequence[EmbeddingTask], done: int) -> None:
        regions = sum(len(task.missing) for task in fresh)
        metrics.FRAMES_EMBEDDED.labels(self._source.model_id).inc(len(fresh))
        metrics.REGIONS_EMBEDDED.labels(self._source.model_id).inc(regions)
        now = self._clock.now()
        for task in fresh:
            if not task.first:
                continue  # not a new frame: its predictions are new, or the model is
            age = (now - task.captured.captured_at).total_seconds()
            metrics.CAPTURE_TO_EMBEDDED_SECONDS.observe(max(0.0, age))
        if done:
            log.info("batch_embedded", frames=len(fresh), regions=regions, known=done - len(fresh))
