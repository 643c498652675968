"""Needles in MongoDB: one document per needle, with its shortlist."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from pymongo import UpdateOne

from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished
from services.domain.ports.needles import NeedleRecord, ReviewProgress
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    newest,
    parsed,
    time_of,
    translated,
    upsert,
    write,
)
from services.runtime.stores.unreadable import readable

_CANDIDATES: Document = {"$size": {"$ifNull": ["$shortlist.event.candidates", []]}}
_TO_REVIEW: Document = {
    "$and": [
        {"$gt": [_CANDIDATES, 0]},
        {
            "$or": [
                {"$ne": ["$review.progress", ReviewProgress.DONE.value]},
                {"$gt": ["$shortlist.revision", "$review.shortlist_revision"]},
            ]
        },
    ]
}
WORK_COUNTS = ("decided", "accepted", "unsure")
_WORK: Document = {
    "$concat": [
        {"$toString": _CANDIDATES},
        {"$cond": [_TO_REVIEW, " 1", " 0"]},
        *(
            part
            for name in WORK_COUNTS
            for part in (" ", {"$toString": {"$ifNull": [f"$review.{name}", 0]}})
        ),
    ]
}
GROUP_FIELDS = (
    "detector",
    "needle.category",
    "needle.error_type",
    "needle.true_category",
    "review.progress",
)
GROUP_END = "\n"
"""Separates the parts of a needle's group; no name may contain it."""


def _text(field: str) -> Document:
    """A field, or nothing where it holds no text, of which MongoDB would make no group."""
    path = f"${field}"
    return {"$cond": [{"$eq": [{"$type": path}, "string"]}, path, ""]}


REVIEW_WORK: Document = {
    "candidates": _CANDIDATES,
    "listed": {"$gt": [_CANDIDATES, 0]},
    "to_review": _TO_REVIEW,
    "group": {
        "$concat": [
            *(part for field in GROUP_FIELDS for part in (_text(field), GROUP_END)),
            _WORK,
        ]
    },
}
"""The number of candidates, whether there are any, whether any waits for a decision, and the group.

Stored on every change, so that they can be indexed. The group is one text, with the work as
numbers: counting ten thousand needles by it and their family takes half of the time of counting
them by seven fields.
"""
_SCANNED = 500


class MongoNeedleStore:
    """The collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._needles.create_index("frame_id")
            await self._needles.create_index([("detector", 1), ("category", 1)])

    async def record(self, facts: Sequence[NeedleFound | NeedleRetracted]) -> None:
        await write(self._needles, [_update(fact) for fact in facts])

    async def load(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        with translated():
            found = await self._needles.find({"_id": {"$in": list(needle_ids)}}).to_list()
        return {record.needle_id: record for record in readable("needles", found, _record)}

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
    ) -> AsyncIterator[NeedleRecord]:
        where: dict[str, Any] = {"state": {"$exists": True}}
        if detector is not None:
            where["detector"] = detector
        with translated():
            found = self._needles.find(where).sort("_id", 1)
            async for page in parsed(found, _record, _SCANNED):
                for record in page:
                    yield record

    async def write_shortlists(self, shortlists: Sequence[ShortlistPublished]) -> None:
        updates = []
        for shortlist in shortlists:
            part = {"revision": shortlist.revision, "event": shortlist.model_dump(mode="json")}
            value = newest("shortlist", shortlist.revision, part)
            time = time_of("shortlist", shortlist.revision, "times.shortlist")
            # When the shortlist first had candidates, by the server's clock.
            since = (
                {"$ifNull": ["$shortlisted_at", "$$NOW"]} if shortlist.candidates else "$$REMOVE"
            )
            is_newer = {"$gt": [shortlist.revision, {"$ifNull": ["$shortlist.revision", 0]}]}
            assignments = {
                "shortlist": value,
                "times.shortlist": time,
                "shortlisted_at": {"$cond": [is_newer, since, "$shortlisted_at"]},
            }
            updates.append(upsert(shortlist.needle_id, assignments, REVIEW_WORK))
        await write(self._needles, updates)

    async def mark_published(self, shortlists: Sequence[ShortlistPublished]) -> None:
        updates = [
            UpdateOne(
                {"_id": shortlist.needle_id}, {"$max": {"published_revision": shortlist.revision}}
            )
            for shortlist in shortlists
        ]
        await write(self._needles, updates)

    async def naming(self, frame_ids: Collection[FrameId]) -> Sequence[NeedleRecord]:
        ids = {"$in": list(frame_ids)}
        where = {
            "$or": [{"frame_id": ids}, {"shortlist.event.candidates.frame_id": ids}],
            "state": {"$exists": True},
        }
        with translated():
            found = await self._needles.find(where).sort("_id", 1).to_list()
        return readable("needles", found, _record)

    async def delete(self, frame_ids: Collection[FrameId]) -> None:
        ids = {"$in": list(frame_ids)}
        # A shortlist that was written after its needle was deleted has no other part.
        of_frames = {"$or": [{"frame_id": ids}, {"shortlist.event.needle.frame_id": ids}]}
        with translated():
            await self._needles.delete_many(of_frames)


def _update(fact: NeedleFound | NeedleRetracted) -> UpdateOne:
    found = isinstance(fact, NeedleFound)
    state = {"revision": fact.revision, "active": found}
    newer = {"$gt": [fact.revision, {"$ifNull": ["$state.revision", 0]}]}
    assignments: Document = {
        "state": newest("state", fact.revision, state),
        "times.state": time_of("state", fact.revision, "times.state"),
        "frame_id": literal(fact.frame_id),
        "detector": literal(fact.detector),
        "category": literal(fact.category),
    }
    if found:
        event = literal(fact.model_dump(mode="json"))
        missing = {"$eq": [{"$type": "$needle"}, "missing"]}
        assignments["needle"] = {"$cond": [{"$or": [newer, missing]}, event, "$needle"]}
    # Set without a shortlist too, so that an index finds needles of versions without this field.
    return upsert(fact.needle_id, assignments, REVIEW_WORK)


def _record(document: Document) -> NeedleRecord:
    needle, shortlist = document.get("needle"), document.get("shortlist")
    return NeedleRecord(
        needle_id=document["_id"],
        revision=document["state"]["revision"],
        active=document["state"]["active"],
        needle=NeedleFound.model_validate(needle, extra="ignore") if needle else None,
        shortlist=ShortlistPublished.model_validate(shortlist["event"], extra="ignore")
        if shortlist
        else None,
        published_revision=document.get("published_revision", 0),
    )
