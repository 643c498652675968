"""The progress of each embedding model: which captured frames have its vectors.

A frame is done once its vectors match the latest predictions of all detectors.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.contracts.events import FrameEmbedded
from services.contracts.identity import FrameId, ModelId, region_point_id
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorStore,
    Where,
    collection_of,
)
from services.runtime.stores.mongo import Database, Document, field_name, translated
from services.runtime.stores.unreadable import readable


@dataclass(frozen=True)
class Points:
    """How many points of one model there are: one per frame, and one per region."""

    frames: int
    regions: int

    def cover(self, points: "Points") -> bool:
        """Whether there are at least as many of both."""
        return self.frames >= points.frames and self.regions >= points.regions


async def held_points(vectors: VectorStore, model: ModelId) -> Points:
    """Count a model's points in the vector store.

    Raises
    ------
    StoreUnavailable
        The vector store does not answer.
    """
    return Points(
        await vectors.count(collection_of(FRAME_VECTORS, model), Where()),
        await vectors.count(collection_of(REGION_VECTORS, model), Where()),
    )


async def lost_frames(vectors: VectorStore, events: Sequence[FrameEmbedded]) -> list[FrameId]:
    """Frames whose FrameEmbedded event, all of one model, names a vector that is missing.

    Raises
    ------
    StoreUnavailable
        The vector store does not answer.
    """
    if not events:
        return []
    model = events[0].model
    frames = {event.frame_point: event.frame_id for event in events}
    regions = {
        region_point_id(model, region_id): event.frame_id
        for event in events
        for region_ids in event.regions.values()
        for region_id in region_ids
    }
    there = await vectors.load(collection_of(FRAME_VECTORS, model), frames)
    there |= await vectors.load(collection_of(REGION_VECTORS, model), regions)
    return sorted({frame for point, frame in (frames | regions).items() if point not in there})


class Embeddings(Protocol):
    """Embedded frames by model. Every method raises StoreUnavailable if the store is down."""

    async def captured(self) -> int:
        """How many frames have an image."""
        ...

    async def done(self, model: ModelId) -> int:
        """How many of them this model has finished."""
        ...

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        """How many `live` has finished and `model` has not: a search by `model` misses them."""
        ...

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        """The first frames after `after`, by id, that the model has not finished."""
        ...

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        """The event of any one frame that the model has embedded."""
        ...

    async def points(self) -> dict[ModelId, Points]:
        """How many points each model must have according to the FrameEmbedded events."""
        ...

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        """The events of the first frames after `after`, by id."""
        ...

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        """Delete the events of these frames, because their vectors are gone."""
        ...


class MongoEmbeddings:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

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
        path = f"embedded.{field_name(model)}"
        with translated():
            found = await self._frames.find_one({path: {"$exists": True}}, {path: 1})
        if found is None:
            return None
        event = found["embedded"][field_name(model)]["event"]
        return FrameEmbedded.model_validate(event, extra="ignore")

    async def points(self) -> dict[ModelId, Points]:
        pipeline: list[Document] = [
            {"$project": {"of": {"$objectToArray": {"$ifNull": ["$embedded", {}]}}}},
            {"$unwind": "$of"},
            {
                "$group": {
                    "_id": "$of.v.event.model",
                    "frames": {"$sum": 1},
                    "regions": {"$sum": _regions("$of.v.event.regions")},
                }
            },
        ]
        with translated():
            found = await (await self._frames.aggregate(pipeline)).to_list()
        return {
            ModelId(document["_id"]): Points(document["frames"], document["regions"])
            for document in found
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

        def events(document: Document) -> list[FrameEmbedded]:
            parts = document.get("embedded", {}).values()
            return [FrameEmbedded.model_validate(part["event"], extra="ignore") for part in parts]

        # The random sample may contain a frame twice, or a newest one.
        different = {item["_id"]: item for item in found}.values()
        return [event for some in readable("frames", different, events) for event in some]

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        path = f"embedded.{field_name(model)}"
        where: Document = {path: {"$exists": True}}
        if after is not None:
            where["_id"] = {"$gt": after}
        with translated():
            found = await self._frames.find(where, {path: 1}).sort("_id", 1).to_list(limit)

        def event(document: Document) -> FrameEmbedded:
            part = document["embedded"][field_name(model)]
            return FrameEmbedded.model_validate(part["event"], extra="ignore")

        return readable("frames", found, event)

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        parts = {f"{part}.{field_name(model)}": "" for part in ("embedded", "times.embedded")}
        with translated():
            await self._frames.update_many({"_id": {"$in": [*frame_ids]}}, {"$unset": parts})


_CAPTURED: Document = {"captured": {"$exists": True}}


def _regions(by_detector: str) -> Document:
    """Expression for the number of regions of all detectors."""
    sizes = {"$map": {"input": {"$objectToArray": by_detector}, "in": {"$size": "$$this.v"}}}
    return {"$sum": sizes}


def _is_done(model: ModelId) -> Document:
    """Expression for whether a model has finished a frame.

    Revisions only rise, so equal sums mean that every detector's revision is equal.
    """
    predictions = {"$objectToArray": {"$ifNull": ["$predictions", {}]}}
    latest = {"$sum": {"$map": {"input": predictions, "in": "$$this.v.revision"}}}
    embedded = {"$ifNull": [f"$embedded.{field_name(model)}.revision", -1]}
    return {"$eq": [embedded, latest]}
