"""The embedder's records of each frame in MongoDB."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pymongo import UpdateOne

from services.contracts.codec import decode, stored
from services.contracts.events import FrameAnnotated, FrameCaptured, FrameEmbedded, PredictionsMade
from services.contracts.identity import DetectorId, FrameId, ModelId
from services.contracts.topics import EMBEDDED, FRAMES, GROUND_TRUTH, PREDICTIONS, Topic
from services.domain.ports.embeddings import EmbeddingFact, EmbeddingRecord, Points
from services.runtime.stores.mongo import (
    Database,
    Document,
    Guarded,
    field_name,
    text_of_field,
    translated,
    write_guarded,
)
from services.runtime.stores.unreadable import readable


class MongoEmbeddings:
    """The collection `embeddings`, one document per frame."""

    def __init__(self, database: Database) -> None:
        self._frames = database["embeddings"]

    async def record(self, facts: Sequence[EmbeddingFact]) -> None:
        await write_guarded(
            self._frames, [_update(fact) for fact in facts if not isinstance(fact, FrameEmbedded)]
        )
        events = [fact for fact in facts if isinstance(fact, FrameEmbedded)]
        if not events:
            return
        with translated():
            done = await self._frames.bulk_write([*map(_embedded_all, events)], ordered=False)
        if done.matched_count < len(events):
            # Newer predictions or vectors are stored, or nothing at all.
            await write_guarded(self._frames, [Guarded(*_embedding(event)) for event in events])

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, EmbeddingRecord]:
        with translated():
            found = await self._frames.find({"_id": {"$in": list(frame_ids)}}).to_list()
        records = await asyncio.to_thread(readable, "embeddings", found, _record)
        return {record.frame_id: record for record in records}

    async def captured(self) -> int:
        with translated():
            return await self._frames.count_documents(_CAPTURED)

    async def done(self, model: ModelId) -> int:
        with translated():
            return await self._frames.count_documents({**_CAPTURED, "$expr": _is_done(model)})

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        only_live = {"$and": [_is_done(live), {"$not": [_is_done(model)]}]}
        with translated():
            return await self._frames.count_documents({**_CAPTURED, "$expr": only_live})

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        where: Document = {**_CAPTURED, "$expr": {"$not": [_is_done(model)]}}
        if after is not None:
            where["_id"] = {"$gt": after}
        with translated():
            found = await self._frames.find(where, {"_id": 1}).sort("_id", 1).to_list(limit)
        return [document["_id"] for document in found]

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        path = _path(model)
        with translated():
            found = await self._frames.find_one({path: {"$exists": True}}, {path: 1})
        return _embedded(found, model) if found else None

    async def points(self) -> dict[ModelId, Points]:
        pipeline: list[Document] = [
            {"$project": {"of": {"$objectToArray": {"$ifNull": ["$embedded", {}]}}}},
            {"$unwind": "$of"},
            {
                "$group": {
                    "_id": "$of.k",
                    "frames": {"$sum": 1},
                    "regions": {"$sum": "$of.v.regions"},
                }
            },
        ]
        with translated():
            found = await (await self._frames.aggregate(pipeline)).to_list()
        return {
            ModelId(text_of_field(item["_id"])): Points(item["frames"], item["regions"])
            for item in found
        }

    async def sample(self, newest: int, others: int) -> list[FrameEmbedded]:
        """The events of the newest frames and of a random sample of others, each frame once.

        All frames if there are not more.
        """
        last = self._frames.find({}, {"embedded": 1}).sort("$natural", -1).limit(newest)
        drawn: list[Document] = [{"$sample": {"size": others}}, {"$project": {"embedded": 1}}]
        with translated():
            found = [
                *await last.to_list(),
                *await (await self._frames.aggregate(drawn)).to_list(),
            ]
        # The random sample may contain a frame twice, or a newest one.
        different = {item["_id"]: item for item in found}.values()
        records = readable("embeddings", different, _record)
        return [event for record in records for event in record.embedded.values()]

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        where: Document = {_path(model): {"$exists": True}}
        if after is not None:
            where["_id"] = {"$gt": after}
        with translated():
            found = await self._frames.find(where, {_path(model): 1}).sort("_id", 1).to_list(limit)
        return readable("embeddings", found, partial(_embedded, model=model))

    async def embedded_since(self, model: ModelId, at: datetime) -> bool:
        with translated():
            return await self._frames.find_one({f"{_path(model)}.at": {"$gte": at}}) is not None

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        with translated():
            await self._frames.update_many(
                {"_id": {"$in": [*frame_ids]}}, {"$unset": {_path(model): ""}}
            )


_TRUTH = "ground truth"
"""Names the ground truth beside the detectors, whose ids have no spaces."""
_CAPTURED: Document = {"captured": {"$exists": True}}


def _path(model: ModelId) -> str:
    return f"embedded.{field_name(model)}"


def _is_done(model: ModelId) -> Document:
    """Expression for whether a model has finished a frame.

    Revisions only rise, so equal sums mean that every part's revision is equal.
    """
    revisions = {"$objectToArray": {"$ifNull": ["$made", {}]}}
    latest = {"$sum": {"$map": {"input": revisions, "in": "$$this.v"}}}
    return {"$eq": [{"$ifNull": [f"${_path(model)}.revision", -1]}, latest]}


def _update(fact: FrameCaptured | PredictionsMade | FrameAnnotated) -> Guarded:
    own: Document = {"_id": fact.frame_id}
    if isinstance(fact, FrameCaptured):
        captured = {"captured": stored(fact)}
        return Guarded(own | {"captured": {"$exists": False}}, {"$set": captured}, own | captured)
    name = _TRUTH if isinstance(fact, FrameAnnotated) else field_name(fact.detector_id)
    fields = {f"made.{name}": fact.revision, f"waiting.{name}": stored(fact)}
    return Guarded(own | {f"made.{name}": {"$not": {"$gte": fact.revision}}}, {"$set": fields})


def _embedded_all(event: FrameEmbedded) -> UpdateOne:
    """Record the event, and drop what it embedded, unless newer parts have arrived meanwhile."""
    parts = _parts(event)
    embedded = {f"made.{name}": revision for name, revision in parts.items()}
    dropped = {f"waiting.{name}": "" for name in parts}
    where, update = _embedding(event)
    return UpdateOne(where | embedded, update | ({"$unset": dropped} if dropped else {}))


def _parts(event: FrameEmbedded) -> dict[str, int]:
    """The revision of each part that the event has embedded, by its field's name."""
    parts = {field_name(d): revision for d, revision in event.predictions_revisions.items()}
    if event.ground_truth_revision is not None:
        parts[_TRUTH] = event.ground_truth_revision
    return parts


def _embedding(event: FrameEmbedded) -> tuple[Document, Document]:
    path, revision = _path(event.model), sum(_parts(event).values())
    embedded = {
        f"{path}.revision": revision,
        f"{path}.regions": len(event.region_ids()),
        f"{path}.event": stored(event),
    }
    # Equal revisions replace too: after vectors were lost, they are computed again.
    where = {"_id": event.frame_id, f"{path}.revision": {"$not": {"$gt": revision}}}
    return where, {"$set": embedded, "$currentDate": {f"{path}.at": True}}


def _record(document: Document) -> EmbeddingRecord:
    captured = document.get("captured")
    revisions, waits = dict(document.get("made", {})), dict(document.get("waiting", {}))
    revision, truth = revisions.pop(_TRUTH, 0), waits.pop(_TRUTH, None)
    waiting = [_read(PREDICTIONS, raw) for raw in waits.values()]
    embedded = [_read(EMBEDDED, part["event"]) for part in document.get("embedded", {}).values()]
    return EmbeddingRecord(
        frame_id=document["_id"],
        captured=_read(FRAMES, captured) if captured else None,
        revisions={DetectorId(text_of_field(name)): number for name, number in revisions.items()},
        ground_truth_revision=revision,
        ground_truth=_read(GROUND_TRUTH, truth) if truth else None,
        waiting={event.detector_id: event for event in waiting},
        embedded={event.model: event for event in embedded},
    )


def _embedded(document: Document, model: ModelId) -> FrameEmbedded:
    event: FrameEmbedded = _read(EMBEDDED, document["embedded"][field_name(model)]["event"])
    return event


def _read(topic: Topic, raw: bytes) -> Any:
    return decode(topic.name, raw)
