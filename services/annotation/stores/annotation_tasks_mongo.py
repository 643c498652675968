"""The tasks in the annotation team's tool, in MongoDB."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from services.annotation.ports.annotation_tasks import TaskRecord, TaskStatus, ToolState
from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    newest,
    translated,
    upsert,
    write,
)
from services.runtime.stores.unreadable import readable

_STATE = "label-studio"
_PUSHER = "label-studio pusher"


class MongoAnnotationTasks:
    """The collections `annotation_asks`, `annotation_tasks` and `annotation_tool`."""

    def __init__(self, database: Database) -> None:
        self._asks = database["annotation_asks"]
        self._tasks = database["annotation_tasks"]
        self._tool = database["annotation_tool"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._asks.create_index("latest.frames")
            await self._tasks.create_index("due", sparse=True)
            await self._tasks.create_index("status")
            await self._tasks.create_index("link_until")

    async def ask(self, shortlists: Sequence[ShortlistPublished]) -> None:
        if not shortlists:
            return
        updates = []
        for shortlist in shortlists:
            frames = sorted({candidate.frame_id for candidate in shortlist.candidates})
            latest = {
                "revision": shortlist.revision,
                "frames": frames,
                "event": shortlist.model_dump(mode="json"),
            }
            ever = {"$setUnion": [{"$ifNull": ["$frames_ever", []]}, literal(frames)]}
            assignments = {
                "latest": newest("latest", shortlist.revision, latest),
                "frames_ever": ever,
            }
            updates.append(upsert(shortlist.needle_id, assignments))
        await write(self._asks, updates)
        needles = [shortlist.needle_id for shortlist in shortlists]
        with translated():
            named = await self._asks.distinct("frames_ever", {"_id": {"$in": needles}})
        await write(self._tasks, [_touch(frame_id, upsert=True) for frame_id in named])

    async def touch(self, frame_ids: Collection[FrameId]) -> None:
        await write(self._tasks, [_touch(frame_id, upsert=False) for frame_id in set(frame_ids)])

    async def touch_ending_links(self, before: datetime) -> None:
        open_ = [TaskStatus.OPEN.value, TaskStatus.STARTED.value, TaskStatus.SKIPPED.value]
        where = {"link_until": {"$lt": before}, "status": {"$in": open_}, "due": {"$exists": False}}
        with translated():
            await self._tasks.update_many(where, {"$inc": {"touched": 1}, "$set": {"due": True}})

    async def end_links(self, now: datetime) -> None:
        with translated():
            await self._tasks.update_many(
                {"link_until": {"$gt": now}}, {"$set": {"link_until": now}}
            )

    async def forget_deleted(self) -> None:
        waiting = {"status": TaskStatus.WAITING.value, "due": True}
        with translated():
            await self._tasks.update_many(
                {"status": TaskStatus.DELETED.value}, {"$set": waiting, "$inc": {"touched": 1}}
            )

    async def asking(self, frame_ids: Collection[FrameId]) -> list[ShortlistPublished]:
        with translated():
            found = (
                await self._asks.find({"latest.frames": {"$in": list(frame_ids)}})
                .sort("_id", 1)
                .to_list()
            )
        return readable("annotation_asks", found, _shortlist)

    async def due(self, limit: int, *, without: Collection[FrameId] = ()) -> list[TaskRecord]:
        where = {"due": True, "_id": {"$nin": list(without)}}
        with translated():
            found = await self._tasks.find(where).sort("_id", 1).limit(limit).to_list()
        return readable("annotation_tasks", found, _record)

    async def of_frames(self, frame_ids: Collection[FrameId]) -> dict[FrameId, TaskRecord]:
        with translated():
            found = await self._tasks.find({"_id": {"$in": list(frame_ids)}}).to_list()
        return {record.frame_id: record for record in readable("annotation_tasks", found, _record)}

    async def in_tool(self) -> dict[int, FrameId]:
        where = {"task_id": {"$ne": None}}
        with translated():
            found = await self._tasks.find(where, {"task_id": 1}).to_list()
        return {document["task_id"]: document["_id"] for document in found}

    async def note(self, frame_id: FrameId, **facts: Any) -> None:
        value = {
            name: fact.value if isinstance(fact, TaskStatus) else fact
            for name, fact in facts.items()
        }
        with translated():
            await self._tasks.update_one({"_id": frame_id}, {"$set": value}, upsert=True)

    async def settle(self, record: TaskRecord) -> None:
        unchanged = {"_id": record.frame_id, "touched": record.touched}
        with translated():
            await self._tasks.update_one(unchanged, {"$unset": {"due": ""}})

    async def counts(self) -> Mapping[TaskStatus, int]:
        with translated():
            cursor = await self._tasks.aggregate([{"$sortByCount": "$status"}])
            found = await cursor.to_list()
        counted = {
            TaskStatus(document["_id"]): document["count"] for document in found if document["_id"]
        }
        return {status: counted.get(status, 0) for status in TaskStatus}

    async def state(self) -> ToolState:
        with translated():
            found = await self._tool.find_one({"_id": _STATE}) or {}
        return ToolState(
            project=found.get("project"),
            since=found.get("since", ""),
            webhooks=found.get("heard", 0),
            webhooks_followed=found.get("listened", 0),
        )

    async def note_state(self, **facts: object) -> None:
        with translated():
            await self._tool.update_one({"_id": _STATE}, {"$set": facts}, upsert=True)

    async def note_webhook(self) -> None:
        with translated():
            await self._tool.update_one({"_id": _STATE}, {"$inc": {"heard": 1}}, upsert=True)

    async def lease(self, holder: str, now: datetime, lasting: timedelta) -> bool:
        free = {"_id": _PUSHER, "$or": [{"holder": holder}, {"until": {"$lte": now}}]}
        wanted = {"$set": {"holder": holder, "until": now + lasting}}
        with translated():
            try:
                await self._tool.update_one(free, wanted, upsert=True)
            except DuplicateKeyError:
                return False
        return True

    async def release(self, holder: str) -> None:
        with translated():
            await self._tool.delete_one({"_id": _PUSHER, "holder": holder})


def _touch(frame_id: FrameId, *, upsert: bool) -> UpdateOne:
    first = {"status": TaskStatus.WAITING.value}
    change: Document = {"$inc": {"touched": 1}, "$set": {"due": True}}
    if upsert:
        change["$setOnInsert"] = first
    return UpdateOne({"_id": frame_id}, change, upsert=upsert)


def _shortlist(document: Document) -> ShortlistPublished:
    return ShortlistPublished.model_validate(document["latest"]["event"], extra="ignore")


def _record(document: Document) -> TaskRecord:
    return TaskRecord(
        frame_id=document["_id"],
        touched=document.get("touched", 0),
        task_id=document.get("task_id"),
        trying=document.get("trying", False),
        status=TaskStatus(document.get("status", TaskStatus.WAITING.value)),
        asked=document.get("asked", ""),
        image=document.get("image", ""),
        link_until=document.get("link_until"),
        read=document.get("read", ""),
        revision=document.get("revision"),
    )
