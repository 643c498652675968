"""How far each embedding model is: which captured frames it has vectors of, as they now stand.

A frame is done once its vectors are of the latest predictions of all detectors.
"""

from typing import Protocol

from services.contracts.events import FrameEmbedded
from services.contracts.identity import FrameId, ModelId
from services.runtime.stores.mongo import Database, Document, field_name, translated


class Embeddings(Protocol):
    """Frames by model. Every method raises StoreUnavailable where the store does not answer."""

    async def captured(self) -> int:
        """Frames whose image is known."""
        ...

    async def done(self, model: ModelId) -> int:
        """Those that this model is done with."""
        ...

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        """Those that `live` is done with, and `model` is not: a search would miss them."""
        ...

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        """The first frames behind `after` that the model is not done with, in their ids' order."""
        ...

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        """What was said of any one frame that the model has embedded."""
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


_CAPTURED: Document = {"captured": {"$exists": True}}


def _is_done(model: ModelId) -> Document:
    """Revisions only rise, so their sums are equal where all of them are."""
    predictions = {"$objectToArray": {"$ifNull": ["$predictions", {}]}}
    latest = {"$sum": {"$map": {"input": predictions, "in": "$$this.v.revision"}}}
    embedded = {"$ifNull": [f"$embedded.{field_name(model)}.revision", -1]}
    return {"$eq": [embedded, latest]}
