"""Embeddings of the frames in memory."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.embeddings import EmbeddingFact, EmbeddingRecord, Points
from services.runtime.clock import Clock, SystemClock


class InMemoryEmbeddings:
    def __init__(self, clock: Clock | None = None) -> None:
        self._records: dict[FrameId, EmbeddingRecord] = {}
        self._clock = clock or SystemClock()
        self._last: dict[ModelId, datetime] = {}

    async def record(self, facts: Sequence[EmbeddingFact]) -> None:
        for fact in facts:
            record = self._records.get(fact.frame_id, EmbeddingRecord(fact.frame_id))
            self._records[fact.frame_id] = _merged(record, fact)
            if isinstance(fact, FrameEmbedded):
                self._last[fact.model] = self._clock.now()

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, EmbeddingRecord]:
        return {
            frame_id: self._records[frame_id] for frame_id in frame_ids if frame_id in self._records
        }

    async def captured(self) -> int:
        return len(self._captured())

    async def done(self, model: ModelId) -> int:
        return sum(_is_done(record, model) for record in self._captured())

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        return sum(_is_done(r, live) and not _is_done(r, model) for r in self._captured())

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        ids = [r.frame_id for r in self._captured() if not _is_done(r, model)]
        return sorted(frame_id for frame_id in ids if after is None or frame_id > after)[:limit]

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        known = self._records.values()
        return next((r.embedded[model] for r in known if model in r.embedded), None)

    async def points(self) -> dict[ModelId, Points]:
        events = [event for r in self._records.values() for event in r.embedded.values()]
        return {
            model: Points(
                sum(event.model == model for event in events),
                sum(len(event.region_ids()) for event in events if event.model == model),
            )
            for model in {event.model for event in events}
        }

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        events = {
            r.frame_id: r.embedded[model] for r in self._records.values() if model in r.embedded
        }
        ids = sorted(frame_id for frame_id in events if after is None or frame_id > after)
        return [events[frame_id] for frame_id in ids[:limit]]

    async def embedded_since(self, model: ModelId, at: datetime) -> bool:
        return model in self._last and self._last[model] >= at

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        for frame_id in frame_ids:
            record = self._records[frame_id]
            kept = {name: event for name, event in record.embedded.items() if name != model}
            self._records[frame_id] = replace(record, embedded=kept)

    def _captured(self) -> list[EmbeddingRecord]:
        return [record for record in self._records.values() if record.captured is not None]


def _merged(record: EmbeddingRecord, fact: EmbeddingFact) -> EmbeddingRecord:
    match fact:
        case FrameCaptured():
            return replace(record, captured=record.captured or fact)
        case PredictionsMade():
            if fact.revision <= record.revisions.get(fact.detector_id, 0):
                return record
            return replace(
                record,
                revisions={**record.revisions, fact.detector_id: fact.revision},
                waiting={**record.waiting, fact.detector_id: fact},
            )
        case FrameAnnotated():
            if fact.revision <= record.ground_truth_revision:
                return record
            return replace(record, ground_truth_revision=fact.revision, ground_truth=fact)
        case FrameEmbedded():
            return _embedded(record, fact)


def _embedded(record: EmbeddingRecord, fact: FrameEmbedded) -> EmbeddingRecord:
    done, truth = fact.predictions_revisions, fact.ground_truth_revision
    stored = record.embedded.get(fact.model)
    if stored is None or _total(fact) >= _total(stored):
        record = replace(record, embedded={**record.embedded, fact.model: fact})
    if any(record.revisions.get(detector) != revision for detector, revision in done.items()):
        return record
    if truth not in {None, record.ground_truth_revision}:
        return record
    kept = {detector: made for detector, made in record.waiting.items() if detector not in done}
    return replace(
        record, waiting=kept, ground_truth=record.ground_truth if truth is None else None
    )


def _total(fact: FrameEmbedded) -> int:
    return sum(fact.predictions_revisions.values()) + (fact.ground_truth_revision or 0)


def _is_done(record: EmbeddingRecord, model: ModelId) -> bool:
    if model not in record.embedded:
        return False
    event = record.embedded[model]
    return (
        dict(event.predictions_revisions) == dict(record.revisions)
        and (event.ground_truth_revision or 0) == record.ground_truth_revision
    )
