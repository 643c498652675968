"""Epochs in MongoDB: one document per detector and epoch, and what it changed in parts."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from pymongo.errors import DuplicateKeyError

from services.contracts.identity import Category, DetectorId
from services.domain.ports.epochs import EPOCHS_KEPT, StateChanges
from services.domain.shortlists.epochs import Epoch, Size
from services.runtime.stores.mongo import Database, Document, translated

_PART_BYTES: Final = 8_000_000
"""A document holds at most 16 MB."""


class MongoEpochStore:
    """The collections `epochs` and `epoch_changes`.

    Changes are stored first, under a name that the epoch's document holds: only the process that
    closes the epoch has its own read.

    Parameters
    ----------
    broker : id of the broker that assigned the offsets, as in `MongoRevisionLedger`. Those of
        another broker, such as one in memory that has ended, say nothing about its records
    """

    def __init__(self, database: Database, broker: str) -> None:
        self._broker = broker
        self._epochs = database["epochs"]
        self._changes = database["epoch_changes"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            for collection in (self._epochs, self._changes):
                await collection.create_index([("detector", 1), ("number", -1)])

    async def latest(self) -> dict[DetectorId, Epoch]:
        last: list[Document] = [
            {"$sort": {"detector": 1, "number": -1}},
            {"$group": {"_id": "$detector", "last": {"$first": "$$ROOT"}}},
        ]
        with translated():
            found = await (await self._epochs.aggregate(last)).to_list()
        epochs = [self._epoch(document["last"]) for document in found]
        return {epoch.detector: epoch for epoch in epochs}

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        parts = _parts(epoch, changes)
        names = [part["_id"] for part in parts]
        document = {
            **_document(epoch),
            "broker": self._broker,
            "changes": names,
            "is_whole": changes.is_whole,
        }
        with translated():
            for part in parts:
                await self._changes.replace_one({"_id": part["_id"]}, part, upsert=True)
            try:
                await self._epochs.insert_one(document)
            except DuplicateKeyError:
                await self._drop_unnamed(epoch, names)
                return False
            expired = epoch.number - EPOCHS_KEPT
            if expired > 0:
                await self._epochs.delete_one({"_id": _id(epoch.detector, expired)})
            if changes.is_whole:
                earlier = {"detector": epoch.detector, "number": {"$lt": epoch.number}}
                await self._changes.delete_many(earlier)
        return True

    async def changes(self, detector: DetectorId, after: int = 0) -> Sequence[StateChanges]:
        found: list[StateChanges] = []
        with translated():
            newer = {"detector": detector, "number": {"$gt": after}}
            cursor = self._epochs.find(newer, {"number": 1, "changes": 1, "is_whole": 1})
            async for document in cursor.sort("number", -1):
                names = document.get("changes", [])
                parts = await self._changes.find({"_id": {"$in": names}}).sort("_id", 1).to_list()
                if not names or len(parts) < len(names):
                    return []
                content = b"".join(part["content"] for part in parts)
                found.append(StateChanges(content, is_whole=document["is_whole"]))
                if document["is_whole"] or document["number"] == after + 1 > 1:
                    return found[::-1]
        return []

    async def forget_changes(self) -> None:
        with translated():
            await self._changes.delete_many({})

    async def _drop_unnamed(self, epoch: Epoch, names: Sequence[str]) -> None:
        """Drop changes that another process was faster than, unless it has recorded the same."""
        closed = await self._epochs.find_one({"_id": _id(epoch.detector, epoch.number)})
        if closed is not None and closed.get("changes") != names:
            await self._changes.delete_many({"_id": {"$in": names}})

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        with translated():
            found = await self._epochs.find({"detector": detector}).sort("number", 1).to_list()
        return [self._epoch(document) for document in found]

    def _epoch(self, document: Document) -> Epoch:
        # Epochs of before had no broker; the stores had another one only after a restore.
        is_of_broker = document.get("broker", self._broker) == self._broker
        return _epoch(document if is_of_broker else {**document, "offsets": [], "starts": []})


def _parts(epoch: Epoch, changes: StateChanges) -> list[Document]:
    content = changes.content
    name = f"{_id(epoch.detector, epoch.number)}|{sha256(content).hexdigest()[:16]}"
    return [
        {
            "_id": f"{name}|{number:06d}",
            "detector": epoch.detector,
            "number": epoch.number,
            "content": content[start : start + _PART_BYTES],
        }
        for number, start in enumerate(range(0, len(content), _PART_BYTES))
    ]


def _id(detector: DetectorId, number: int) -> str:
    return f"{detector}|{number}"


def _document(epoch: Epoch) -> Document:
    # Pairs, because names of topics and categories may hold what field names may not.
    return {
        "_id": _id(epoch.detector, epoch.number),
        "detector": epoch.detector,
        "number": epoch.number,
        "offsets": sorted(epoch.offsets.items()),
        "starts": sorted(epoch.starts.items()),
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
        starts=dict(document.get("starts", ())),
    )
