"""Frames in MongoDB: one document per frame, with one part per type of event."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from pymongo import UpdateOne

from services.contracts.errors import ConflictingRevision
from services.contracts.events import (
    REANNOTATION_SOURCE,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameFact, FrameRecord, FrameTally, content_of
from services.runtime.stores.mongo import (
    Database,
    Document,
    field_name,
    literal,
    newest,
    parsed,
    time_of,
    translated,
    upsert,
    write,
)
from services.runtime.stores.unreadable import readable

_AT_ONCE = 500
_REVISIONS_LISTED = 200
"""How many revisions of a frame's ground truth keep a summary. Limited, because all summaries are
in the frame's document, which every revision rewrites."""
_SOURCE = "ground_truth.event.annotation_source"


_COMPLETE = "ground_truth.event.complete"
_MADE: Document = {"$objectToArray": {"$ifNull": ["$predictions", {}]}}
_PARTLY_MADE: Document = {
    "$filter": {"input": _MADE, "cond": {"$eq": ["$$this.v.event.complete", False]}}
}


def _number(condition: Document) -> Document:
    """Expression that counts the documents that meet a condition."""
    return {"$sum": {"$cond": [condition, 1, 0]}}


_IS_COPY: Document = {"$ne": ["$_id", {"$ifNull": ["$original", "$_id"]}]}
_COUNTING: Document = {
    "_id": None,
    "frames": _number({"$gt": ["$captured", None]}),
    "predictions": {"$sum": {"$size": _MADE}},
    "ground_truth": _number({"$gt": ["$ground_truth", None]}),
    "partial_predictions": {"$sum": {"$size": _PARTLY_MADE}},
    "partial_ground_truth": _number({"$eq": [f"${_COMPLETE}", False]}),
    "copies": _number(_IS_COPY),
}
"""The aggregation that yields a FrameTally."""


class MongoFrameStore:
    """The collections `frames`, and `pictures`: which frame showed each picture first."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._pictures = database["pictures"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            # Verdicts are read from these few frames, and often; so a partial index.
            await self._frames.create_index(
                [(_SOURCE, 1), ("_id", 1)], partialFilterExpression={_SOURCE: REANNOTATION_SOURCE}
            )

    async def record(self, facts: Sequence[FrameFact]) -> None:
        await write(self._frames, [_update(fact) for fact in facts])
        # After the check for conflicts: a refused frame must not claim its image.
        claimed = await self._refuse_conflicts(facts)
        captured = [fact for fact in facts if isinstance(fact, FrameCaptured)]
        await self._claim([fact for fact in captured if fact.frame_id not in claimed])

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        with translated():
            found = await self._frames.find(
                {"_id": {"$in": list(frame_ids)}}, {"revisions": 0, "times": 0}
            ).to_list()
        records = await asyncio.to_thread(readable, "frames", found, _record)
        return {record.frame_id: record for record in records}

    async def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        there = {"predictions": {"$exists": True}, "ground_truth": {"$exists": True}}
        parts = dict.fromkeys((*there, "original"), 1)
        for where in _named(frame_ids):
            with translated():
                found = self._frames.find(there | where, parts)
                async for some in parsed(found, _record, _AT_ONCE):
                    yield some

    async def annotated_from(self, source: str) -> set[FrameId]:
        with translated():
            # Documents from before the field existed are complete.
            where = {_SOURCE: source, _COMPLETE: {"$ne": False}}
            found = await self._frames.find(where, {"_id": 1}).to_list()
        return {document["_id"] for document in found}

    async def tally(self) -> FrameTally:
        with translated():
            found = await (await self._frames.aggregate([{"$group": _COUNTING}])).to_list()
        if not found:
            return FrameTally(0, 0, 0)
        return FrameTally(**{name: found[0][name] for name in _COUNTING if name != "_id"})

    async def _claim(self, captured: Sequence[FrameCaptured]) -> None:
        """Record the first frame with each image, and store it on these frames as `original`."""
        if not captured:
            return
        first: dict[str, FrameId] = {}
        for fact in captured:
            first.setdefault(fact.image.sha256, fact.frame_id)
        claims = [
            UpdateOne({"_id": sha256}, {"$setOnInsert": {"frame_id": frame_id}}, upsert=True)
            for sha256, frame_id in first.items()
        ]
        await write(self._pictures, claims)
        with translated():
            found = await self._pictures.find({"_id": {"$in": list(first)}}).to_list()
        originals = {document["_id"]: document["frame_id"] for document in found}
        noted = [
            UpdateOne({"_id": fact.frame_id}, {"$set": {"original": originals[fact.image.sha256]}})
            for fact in captured
        ]
        await write(self._frames, noted)

    async def _refuse_conflicts(self, facts: Sequence[FrameFact]) -> set[FrameId]:
        """Raise if a stored fact contradicts one of these; returns the frames with an original."""
        parts_of = [fact for fact in facts if not isinstance(fact, FrameEmbedded)]
        if not parts_of:
            return set()
        # Compared here, because MongoDB plans a condition per fact, which took eight times as long.
        parts = {
            f"{_path(fact)}.{name}": 1 for fact in parts_of for name in ("revision", "content")
        }
        parts["original"] = 1
        ids = list({fact.frame_id for fact in parts_of})
        with translated():
            found = await self._frames.find({"_id": {"$in": ids}}, parts).to_list()
        stored = {document["_id"]: document for document in found}
        for fact in parts_of:
            if _contradicts(fact, stored.get(fact.frame_id, {})):
                raise ConflictingRevision(
                    f"frame {fact.frame_id}: this revision is known with another content; "
                    "publish the change with a higher revision"
                )
        return {frame_id for frame_id, document in stored.items() if "original" in document}


def _named(frame_ids: Collection[FrameId] | None) -> list[Document]:
    """Conditions that together find these frames; all frames for None."""
    if frame_ids is None:
        return [{}]
    ids = list(frame_ids)
    return [
        {"_id": {"$in": ids[first : first + _AT_ONCE]}} for first in range(0, len(ids), _AT_ONCE)
    ]


def _path(fact: FrameFact) -> str:
    match fact:
        case FrameCaptured():
            return "captured"
        case FrameAnnotated():
            return "ground_truth"
        case PredictionsMade():
            return f"predictions.{field_name(fact.detector_id)}"
        case FrameEmbedded():
            return f"embedded.{field_name(fact.model)}"


def _revision(fact: FrameFact) -> int:
    match fact:
        case FrameCaptured():
            return 1
        case FrameEmbedded():
            return sum(fact.predictions_revisions.values())
        case _:
            return fact.revision


def _update(fact: FrameFact) -> UpdateOne:
    path, revision = _path(fact), _revision(fact)
    part = {
        "revision": revision,
        "content": content_of(fact),
        "event": fact.model_dump(mode="json"),
    }
    stored = {"$ifNull": [f"${path}.revision", 0]}
    if isinstance(fact, FrameEmbedded):
        # Equal revisions replace too: a changed setting makes the embedder compute vectors again.
        value: Document = {"$cond": [{"$gte": [revision, stored]}, literal(part), f"${path}"]}
    else:
        value = newest(path, revision, part)
    times = f"times.{path}"
    assignments: Document = {path: value, times: time_of(path, revision, times)}
    if isinstance(fact, FrameAnnotated):
        assignments[f"revisions.{revision}"] = _summary(fact)
        if revision > _REVISIONS_LISTED + 1:
            # Revision 1 stays, because it has the ground truth's original source.
            assignments[f"revisions.{revision - _REVISIONS_LISTED}"] = "$$REMOVE"
    return upsert(fact.frame_id, assignments)


def _summary(fact: FrameAnnotated) -> Document:
    """Expression for a revision's summary; an existing summary stays."""
    revision = {
        "source": literal(fact.annotation_source),
        "by": literal(fact.annotated_by),
        "objects": len(fact.annotations),
        "at": "$$NOW",
    }
    return {"$ifNull": [f"$revisions.{fact.revision}", revision]}


def _contradicts(fact: FrameFact, stored: Document) -> bool:
    """Whether the frame has the same revision of this part with another content."""
    part = stored
    for name in _path(fact).split("."):
        part = part.get(name, {})
    return part.get("revision") == _revision(fact) and part["content"] != content_of(fact)


def _record(document: Document) -> FrameRecord:
    captured = document.get("captured")
    ground_truth = document.get("ground_truth")
    predictions = [
        PredictionsMade.model_validate(_event(part), extra="ignore")
        for part in document.get("predictions", {}).values()
    ]
    embedded = [
        FrameEmbedded.model_validate(_event(part), extra="ignore")
        for part in document.get("embedded", {}).values()
    ]
    return FrameRecord(
        frame_id=document["_id"],
        captured=FrameCaptured.model_validate(_event(captured), extra="ignore")
        if captured
        else None,
        ground_truth=FrameAnnotated.model_validate(_event(ground_truth), extra="ignore")
        if ground_truth
        else None,
        predictions={event.detector_id: event for event in predictions},
        embedded={event.model: event for event in embedded},
        original=document.get("original"),
    )


def _event(part: Document) -> Any:
    return part["event"]
