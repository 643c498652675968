"""Old records in MongoDB, by the server's or the writer's time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bson import Timestamp

from services.domain.ports.retention import OldFrame
from services.runtime.stores.mongo import Database, Document, translated

_COLD: Final = "cold_frames"


class MongoRetention:
    """Reads `frames` and `shortlists`, deletes from `reviews` and `figures`, notes `archives`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._shortlists = database["shortlists"]
        self._reviews = database["reviews"]
        self._figures = database["figures"]
        self._archives = database["archives"]

    async def old_frames(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[OldFrame], str]:
        where = {"_id": {"$gt": after}, **_old(before)}
        with translated():
            found = self._frames.find(where, {"drive_id": 1}).sort("_id", 1)
            some = await found.to_list(limit)
            ids = [document["_id"] for document in some]
            moved = {"moved.frame": {"$in": ids}}
            listed = set(await self._shortlists.distinct("moved.frame", moved))
        frames = [OldFrame(item["_id"], item["drive_id"], item["_id"] in listed) for item in some]
        return frames, ids[-1] if ids else ""

    async def count_old_frames(self, before: datetime) -> int:
        with translated():
            return await self._frames.count_documents(_old(before))

    async def archived_before(self) -> datetime | None:
        with translated():
            found = await self._archives.find_one({"_id": _COLD})
        return found["before"] if found else None

    async def note_archived(self, before: datetime) -> None:
        later = {"$max": {"before": before}}
        with translated():
            await self._archives.update_one({"_id": _COLD}, later, upsert=True)

    async def drop_decisions(self, before: datetime, limit: int) -> int:
        needle = {"from": "needles", "localField": "_id", "foreignField": "_id", "as": "of"}
        # All decisions about a needle or none: they are numbered without a gap.
        pipeline: list[Document] = [
            {"$group": {"_id": "$needle_id", "latest": {"$max": "$at"}}},
            {"$match": {"latest": {"$lt": before}}},
            {"$lookup": needle},
            {"$match": {"of.state.active": {"$ne": True}}},
            {"$limit": limit},
            {"$project": {"_id": 1}},
        ]
        with translated():
            found = await (await self._reviews.aggregate(pipeline)).to_list()
            needles = {"needle_id": {"$in": [document["_id"] for document in found]}}
            return (await self._reviews.delete_many(needles)).deleted_count

    async def drop_figures(self, before: datetime, limit: int) -> int:
        last: list[Document] = [
            {"$sort": {"detector": 1, "at": -1}},
            {"$group": {"_id": "$detector", "row": {"$first": "$_id"}}},
        ]
        with translated():
            kept = [item["row"] for item in await (await self._figures.aggregate(last)).to_list()]
            where = {"at": {"$lt": before}, "_id": {"$nin": kept}}
            found = await self._figures.find(where, {"_id": 1}).sort("at", 1).to_list(limit)
            ids = {"_id": {"$in": [document["_id"] for document in found]}}
            return (await self._figures.delete_many(ids)).deleted_count


def _old(before: datetime) -> Document:
    # Stored, not captured: an archive that is imported today is new here.
    stored = {"$lt": Timestamp(int(before.timestamp()), 0)}
    # Null where there is no ground truth, and where it is withdrawn.
    return {"captured_stored": stored, "truth_complete": None}
