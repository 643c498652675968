"""What annotation's collections hold about frames."""

from collections.abc import Collection
from dataclasses import dataclass

from pymongo import UpdateMany

from services.contracts.identity import FrameId, NeedleId
from services.domain.erasure import erased_name
from services.domain.ports.erasure import FrameTraces
from services.runtime.stores.frame_traces import Ids, MongoTraces, by_frame, by_id
from services.runtime.stores.mongo import Database, Document, translated


def of_annotation(database: Database) -> list[FrameTraces]:
    """Reviews, corrections, and what the annotation team's tool was asked."""
    return [
        ReviewTraces(database),
        MongoTraces("corrections", database, "corrections", by_frame),
        MongoTraces("tasks asked for", database, "annotation_asks", _asked, _not_asked),
        AskingNeedles(database),
        MongoTraces("annotation tasks", database, "annotation_tasks", by_id),
        MongoTraces("regions on shortlists", database, "region_shortlists", _circled, _left_out),
    ]


def _circled(ids: Ids) -> Document:
    return {"regions.frame_id": {"$in": ids}}


def _left_out(ids: Ids) -> Document:
    return {"$pull": {"regions": {"frame_id": {"$in": ids}}}}


def _asked(ids: Ids) -> Document:
    return {"frames_ever": {"$in": ids}}


def _not_asked(ids: Ids) -> Document:
    candidates = {"latest.event.candidates": {"frame_id": {"$in": ids}}}
    return {"$pull": {"frames_ever": {"$in": ids}, "latest.frames": {"$in": ids}} | candidates}


@dataclass(frozen=True)
class ReviewTraces:
    """Decisions about needles on frames, claims of these needles, and corrections of frames."""

    database: Database
    name: str = "review decisions"

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        where = await self._where(frame_ids)
        with translated():
            return await self.database["reviews"].count_documents(where)

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        where = await self._where(frame_ids)
        needles = await self._needles(frame_ids)
        with translated():
            await self.database["reviews"].delete_many(where)
            await self.database["review_claims"].delete_many({"_id": {"$in": needles}})

    async def _where(self, frame_ids: Collection[FrameId]) -> Document:
        needles = await self._needles(frame_ids)
        return {"$or": [{"needle_id": {"$in": needles}}, by_frame(list(frame_ids))]}

    async def _needles(self, frame_ids: Collection[FrameId]) -> list[NeedleId]:
        with translated():
            return await self.database["needles"].distinct("_id", by_frame(list(frame_ids)))


@dataclass(frozen=True)
class AskingNeedles:
    """Needles on frames that ask for tasks on others, whose tasks their withdrawal ends."""

    database: Database
    name: str = "needles that ask for tasks"

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        where = {"latest.event.needle.frame_id": {"$in": list(frame_ids)}}
        with translated():
            return await self.database["annotation_asks"].count_documents(where)

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        updates = [
            UpdateMany(
                {"latest.event.needle.frame_id": frame_id},
                {
                    "$set": {
                        "latest.event.needle.frame_id": erased_name(frame_id),
                        "latest.event.needle.bbox": [0.0, 0.0, 1.0, 1.0],
                        "latest.event.needle.drive_id": None,
                        "latest.event.needle.mask": None,
                    }
                },
            )
            for frame_id in frame_ids
        ]
        if updates:
            with translated():
                await self.database["annotation_asks"].bulk_write(updates, ordered=False)
