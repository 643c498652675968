"""Epochs in MongoDB: one document per detector and epoch."""

from collections.abc import Sequence

from pymongo.errors import DuplicateKeyError

from services.contracts.identity import Category, DetectorId
from services.domain.ports.epochs import EPOCHS_KEPT
from services.domain.shortlists.epochs import Epoch, Size
from services.runtime.stores.mongo import Database, Document, translated


class MongoEpochStore:
    """The collection `epochs`."""

    def __init__(self, database: Database) -> None:
        self._epochs = database["epochs"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._epochs.create_index([("detector", 1), ("number", -1)])

    async def latest(self) -> dict[DetectorId, Epoch]:
        last: list[Document] = [
            {"$sort": {"detector": 1, "number": -1}},
            {"$group": {"_id": "$detector", "last": {"$first": "$$ROOT"}}},
        ]
        with translated():
            found = await (await self._epochs.aggregate(last)).to_list()
        epochs = [_epoch(document["last"]) for document in found]
        return {epoch.detector: epoch for epoch in epochs}

    async def close(self, epoch: Epoch) -> bool:
        with translated():
            try:
                await self._epochs.insert_one(_document(epoch))
            except DuplicateKeyError:
                return False
            expired = epoch.number - EPOCHS_KEPT
            if expired > 0:
                await self._epochs.delete_one({"_id": _id(epoch.detector, expired)})
        return True

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        with translated():
            found = await self._epochs.find({"detector": detector}).sort("number", 1).to_list()
        return [_epoch(document) for document in found]


def _id(detector: DetectorId, number: int) -> str:
    return f"{detector}|{number}"


def _document(epoch: Epoch) -> Document:
    # Pairs, because names of topics and categories may hold what field names may not.
    return {
        "_id": _id(epoch.detector, epoch.number),
        "detector": epoch.detector,
        "number": epoch.number,
        "offsets": sorted(epoch.offsets.items()),
        "models": sorted(epoch.models.items()),
        "sizes": [list(size) for size in epoch.sizes],
        "budget": epoch.budget,
        "settled": epoch.settled,
        "released": epoch.released,
        "settled_budget": epoch.settled_budget,
    }


def _epoch(document: Document) -> Epoch:
    # An epoch that was recorded before part of a budget could be released listed all of it or none.
    listed: int = document["budget"] if document["settled"] else 0
    return Epoch(
        detector=DetectorId(document["detector"]),
        number=document["number"],
        offsets=dict(document["offsets"]),
        models={Category(category): model for category, model in document["models"]},
        sizes=tuple(Size(*size) for size in document["sizes"]),
        budget=document["budget"],
        settled=document["settled"],
        released=document.get("released", listed),
        settled_budget=document.get("settled_budget", listed),
    )
