"""Old records in MongoDB, by the server's or the writer's time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from bson import Timestamp
from pymongo import DeleteMany, UpdateOne

from services.contracts.identity import FrameId, ModelId, NeedleId
from services.domain.ports.imports import ImportKind
from services.domain.ports.retention import OldFrame
from services.runtime.stores.frame_documents import IMAGE_DELETED, IN_FORCE, captured_of
from services.runtime.stores.mongo import Database, Document, insert_new, translated, write
from services.runtime.stores.needles_mongo import REVIEW_WORK

_COLD: Final = "cold_frames"
# Null where there is no ground truth, and where it is withdrawn.
_UNANNOTATED: Final[Document] = {"truth_complete": None}
_WITH_IMAGE: Final[Document] = {**IN_FORCE, IMAGE_DELETED: None}
"""The filters of the indexes that `MongoFrameStore` makes for them."""


class MongoRetention:
    """Old frames, images, models, decisions, figures, imports; and which are in an archive."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._shortlists = database["shortlists"]
        self._reviews = database["reviews"]
        self._figures = database["figures"]
        self._archives = database["archives"]
        self._needles = database["needles"]
        self._imports = database["imports"]
        self._items = database["import_items"]
        self._undos = database["undos"]
        self._replaced = database["replaced_models"]

    async def old_frames(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[OldFrame], str]:
        documents, end = await self._oldest(_UNANNOTATED, before, after, limit)
        # Not by the query: it would read on and on past the frames of a large undo.
        old = [item for item in documents if not _is_withdrawn_since(before, item)]
        with translated():
            moved = {"moved.frame": {"$in": [item["_id"] for item in old]}}
            listed = set(await self._shortlists.distinct("moved.frame", moved))
        return [OldFrame(item["_id"], item["drive_id"], item["_id"] in listed) for item in old], end

    async def old_images(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[FrameId], str]:
        documents, end = await self._oldest(_WITH_IMAGE, before, after, limit)
        ids = [document["_id"] for document in documents]
        with translated():
            active = {"frame_id": {"$in": ids}, "state.active": True}
            needed = set(await self._needles.distinct("frame_id", active))
        return [frame_id for frame_id in ids if frame_id not in needed], end

    async def images_only_of(self, frame_ids: Collection[FrameId]) -> Sequence[str]:
        fields = {"captured": 1, "original": 1}
        with translated():
            found = await self._frames.find({"_id": {"$in": list(frame_ids)}}, fields).to_list()
            firsts = [_first(document) for document in found]
            others: Document = {
                "$or": [{"_id": {"$in": firsts}}, {"original": {"$in": firsts}}],
                "_id": {"$nin": list(frame_ids)},
                IMAGE_DELETED: None,
            }
            kept = {_first(item) for item in await self._frames.find(others, fields).to_list()}
        return sorted({captured_of(item).image.uri for item in found if _first(item) not in kept})

    async def note_images_deleted(self, frame_ids: Collection[FrameId]) -> None:
        ids = {"_id": {"$in": list(frame_ids)}}
        with translated():
            await self._frames.update_many(ids, {"$set": {IMAGE_DELETED: True}})

    async def _oldest(
        self, where: Document, before: datetime, after: str, limit: int
    ) -> tuple[list[Document], str]:
        """Stored frames in the order of `captured_stored` and id, and where they end."""
        bounded = {**where, "captured_stored": _stored(before)}
        if after:
            seconds, number, frame_id = after.split(" ", 2)
            at = Timestamp(int(seconds), int(number))
            later = {"captured_stored": {"$gt": at}}
            bounded["$or"] = [later, {"captured_stored": at, "_id": {"$gt": frame_id}}]
        fields = {"drive_id": 1, "captured_stored": 1, "truth_stored": 1}
        with translated():
            found = self._frames.find(bounded, fields)
            documents = await found.sort([("captured_stored", 1), ("_id", 1)]).to_list(limit)
        if not documents:
            return [], ""
        at = documents[-1]["captured_stored"]
        return documents, f"{at.time} {at.inc} {documents[-1]['_id']}"

    async def count_old_frames(self, before: datetime) -> int:
        kept = {"truth_stored": {"$not": {"$gte": _at(before)}}}
        return await self._count(_UNANNOTATED | kept, before)

    async def count_old_images(self, before: datetime) -> int:
        return await self._count(_WITH_IMAGE, before)

    async def _count(self, where: Document, before: datetime) -> int:
        with translated():
            return await self._frames.count_documents({**where, "captured_stored": _stored(before)})

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
        latest = {"latest": {"$max": "$at"}, "version": {"$max": "$version"}}
        pipeline: list[Document] = [
            {"$group": {"_id": "$needle_id", **latest}},
            {"$match": {"latest": {"$lt": before}}},
            {"$lookup": needle},
            {"$match": {"of.state.active": {"$ne": True}}},
            {"$limit": limit},
            {"$project": {"version": 1}},
        ]
        with translated():
            found = await (await self._reviews.aggregate(pipeline)).to_list()
        versions = {NeedleId(item["_id"]): item["version"] for item in found}
        # First, so that an interrupted call leaves decisions by which the next one finds the rest.
        await self._forget_reviews(versions)
        return await self._drop_reviews(versions)

    async def _forget_reviews(self, versions: Mapping[NeedleId, int]) -> None:
        """Remove what lists show of these decisions.

        If the needle is found again, its decisions are numbered from 1, and lists show the highest
        number that they know.
        """
        forget: list[Document] = [{"$unset": "review"}, {"$set": REVIEW_WORK}]
        updates = [
            UpdateOne({"_id": needle_id, "review.version": {"$lte": version}}, forget)
            for needle_id, version in versions.items()
        ]
        await write(self._needles, updates)

    async def _drop_reviews(self, versions: Mapping[NeedleId, int]) -> int:
        """Delete decisions up to these versions: people may have added others meanwhile."""
        deletes = [
            DeleteMany({"needle_id": needle_id, "version": {"$lte": version}})
            for needle_id, version in versions.items()
        ]
        if not deletes:
            return 0
        with translated():
            return (await self._reviews.bulk_write(deletes, ordered=False)).deleted_count

    async def drop_imports(self, before: datetime, limit: int) -> int:
        with translated():
            earlier = {"at": {"$lt": before}}
            runs = await self._imports.distinct("_id", earlier)
            campaign = {"kind": ImportKind.CAMPAIGN.value}
            campaigns = set(await self._imports.distinct("_id", earlier | campaign))
            undone = set(await self._undos.distinct("_id", {"finished": False}))
            old = [run for run in runs if run not in undone]
            found = await self._items.find({"run": {"$in": old}}, {"_id": 1}).to_list(limit)
            ids = {"_id": {"$in": [document["_id"] for document in found]}}
            deleted = (await self._items.delete_many(ids)).deleted_count
            # Items first: an interrupted call leaves the run, so that the next one finds the rest.
            if len(found) < limit:
                # An undone campaign stays ended, though its file be used years later.
                undos = [run for run in old if run not in campaigns]
                await self._undos.delete_many({"_id": {"$in": undos}})
                await self._imports.delete_many({"_id": {"$in": old}})
            return deleted

    async def note_replaced(self, models: Collection[ModelId], now: datetime) -> None:
        with translated():
            await self._replaced.delete_many({"_id": {"$nin": list(models)}})
        await insert_new(self._replaced, [{"_id": model, "since": now} for model in models])

    async def replaced(self) -> Mapping[ModelId, datetime]:
        with translated():
            found = await self._replaced.find().to_list()
        return {ModelId(item["_id"]): item["since"] for item in found}

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


def _is_withdrawn_since(before: datetime, document: Document) -> bool:
    """Whether a frame without ground truth had some at this time, when an archive left it out."""
    withdrawn: Timestamp | None = document.get("truth_stored")
    return withdrawn is not None and withdrawn >= _at(before)


def _stored(before: datetime) -> Document:
    # Stored, not captured: an archive that is imported today is new here.
    return {"$lt": _at(before)}


def _at(time: datetime) -> Timestamp:
    return Timestamp(int(time.timestamp()), 0)


def _first(document: Document) -> FrameId:
    """The frame that showed the same image first."""
    first: FrameId = document.get("original") or document["_id"]
    return first
