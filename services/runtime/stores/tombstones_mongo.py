"""Tombstones in MongoDB: one small document per erased frame."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from pymongo import UpdateOne

from services.contracts.identity import FrameHash, FrameId, frame_hash
from services.domain.ports.erasure import ErasureRequest, Tombstone
from services.runtime.stores.mongo import Database, Document, translated, write

TOMBSTONES: Final = "tombstones"


class MongoTombstones:
    """The collection `tombstones`."""

    def __init__(self, database: Database) -> None:
        self._tombstones = database[TOMBSTONES]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._tombstones.create_index("swept")
            await self._tombstones.create_index("waiting")

    async def add(self, frame_ids: Collection[FrameId], request: ErasureRequest) -> None:
        first = {
            "requested_by": request.requested_by,
            "reason": request.reason,
            "requested_at": request.requested_at,
        }
        again = {"swept": False, "waiting": list(request.services)}
        updates = [
            UpdateOne(
                {"_id": frame_hash(frame_id)},
                {"$setOnInsert": first, "$set": again | {"frame_id": frame_id}},
                upsert=True,
            )
            for frame_id in frame_ids
        ]
        await write(self._tombstones, updates)

    async def erased(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        if not frame_ids:
            return set()
        by_hash = {frame_hash(frame_id): frame_id for frame_id in frame_ids}
        with translated():
            found = await self._tombstones.find(
                {"_id": {"$in": list(by_hash)}}, {"_id": 1}
            ).to_list()
        return {by_hash[document["_id"]] for document in found}

    async def requesters(self) -> Mapping[FrameHash, tuple[str, str]]:
        fields = {"requested_by": 1, "reason": 1}
        with translated():
            found = await self._tombstones.find({}, fields).to_list()
        return {item["_id"]: (item["requested_by"], item["reason"]) for item in found}

    async def unswept(self, limit: int, before: datetime | None = None) -> Sequence[Tombstone]:
        where = _unswept(before)
        with translated():
            found = await self._tombstones.find(where).sort("_id", 1).to_list(limit)
        return [Tombstone(item["frame_id"], item["reason"], item["requested_by"]) for item in found]

    async def count_unswept(self, before: datetime) -> int:
        """The number of frames whose traces were not all erased, of requests before a time.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        with translated():
            return await self._tombstones.count_documents(_unswept(before))

    async def await_services(self, frame_ids: Collection[FrameId], services: Sequence[str]) -> None:
        of_frames = {"_id": {"$in": [frame_hash(frame_id) for frame_id in frame_ids]}}
        added = {"$addToSet": {"waiting": {"$each": list(services)}}}
        with translated():
            await self._tombstones.update_many(of_frames, added)

    async def note_swept(self, frame_ids: Collection[FrameId]) -> None:
        hashes = [frame_hash(frame_id) for frame_id in frame_ids]
        await self._update(hashes, {"swept": True})

    async def unconfirmed(self, hashes: AbstractSet[FrameHash]) -> Mapping[FrameHash, FrameId]:
        where = {"_id": {"$in": sorted(hashes)}, "frame_id": {"$exists": True}}
        with translated():
            found = await self._tombstones.find(where, {"frame_id": 1}).to_list()
        return {document["_id"]: document["frame_id"] for document in found}

    async def confirm(self, hashes: AbstractSet[FrameHash], service: str) -> None:
        await self._update(hashes, {"waiting": {"$setDifference": ["$waiting", [service]]}})

    async def awaited(self) -> Mapping[str, int]:
        pipeline: list[Document] = [
            {"$match": {"waiting": {"$exists": True, "$ne": []}}},
            {"$unwind": "$waiting"},
            {"$sortByCount": "$waiting"},
        ]
        with translated():
            found = await (await self._tombstones.aggregate(pipeline)).to_list()
        return Counter({document["_id"]: document["count"] for document in found})

    async def _update(self, hashes: Collection[FrameHash], changes: Document) -> None:
        done = {"$and": ["$swept", {"$eq": ["$waiting", []]}]}
        stages = [
            {"$set": changes},
            {"$set": {"frame_id": {"$cond": [done, "$$REMOVE", "$frame_id"]}}},
        ]
        with translated():
            await self._tombstones.update_many({"_id": {"$in": sorted(hashes)}}, stages)


def _unswept(before: datetime | None) -> Document:
    requested: Document = {"requested_at": {"$lt": before}} if before else {}
    return {"swept": False, **requested}
