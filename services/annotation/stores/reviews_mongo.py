"""Reviews in MongoDB: an append-only log, and a projection in each needle's document for lists."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.annotation.ports.reviews import Act, Claim, Projection, ReviewEvent
from services.contracts.identity import FrameId, NeedleId, RegionId
from services.runtime.stores.mongo import (
    Database,
    Document,
    newest,
    parsed,
    translated,
    upsert,
    write,
)
from services.runtime.stores.needles_mongo import REVIEW_WORK
from services.runtime.stores.unreadable import readable

_KEY_BYTES = 32
_AT_ONCE = 500
"""Events that are in memory; MongoDB would send 16 MB at once, of which the driver makes 100 MB."""
_MILLISECOND = timedelta(milliseconds=1)
_BY_PERSON = {"by": 1, "at": 1, "_id": 1, "needle_id": 1}


class MongoReviewStore:
    """The collections `reviews`, `review_claims` and `review_keys`; `needles` for the lists."""

    def __init__(self, database: Database) -> None:
        self._events = database["reviews"]
        self._claims = database["review_claims"]
        self._keys = database["review_keys"]
        self._needles = database["needles"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._events.create_index([("needle_id", 1), ("version", 1)])
            await self._events.create_index([("frame_id", 1), ("at", 1)])
            await self._events.create_index([("at", 1), ("_id", 1)])
            await self._events.create_index([*_BY_PERSON.items()])

    async def events(self, needle_id: NeedleId) -> list[ReviewEvent]:
        with translated():
            found = await self._events.find({"needle_id": needle_id}).sort("version", 1).to_list()
        return readable("reviews", found, _event)

    async def append(self, event: ReviewEvent) -> bool:
        document = asdict(event) | {"_id": f"{event.needle_id}:{event.version}"}
        document |= {"regions": list(event.regions), "shown": list(event.shown)}
        with translated():
            try:
                await self._events.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def project(self, needle_id: NeedleId, projection: Projection) -> None:
        part = asdict(projection)
        part["revision"] = projection.version
        value = newest("review", projection.version, part)
        await write(self._needles, [upsert(needle_id, {"review": value}, REVIEW_WORK)])

    async def of_frame(self, frame_id: FrameId) -> Sequence[ReviewEvent]:
        with translated():
            found = await self._events.find({"frame_id": frame_id}).sort("at", 1).to_list()
        return readable("reviews", found, _event)

    async def since(self, at: datetime) -> AsyncIterator[ReviewEvent]:
        with translated():
            found = self._events.find({"at": {"$gte": at}}, batch_size=_AT_ONCE)
            found = found.sort([("at", 1), ("_id", 1)])
            async for page in parsed(found, _event, _AT_ONCE):
                for event in page:
                    yield event

    async def by_needle(self, since: datetime | None = None) -> AsyncIterator[list[ReviewEvent]]:
        acts: list[ReviewEvent] = []
        where: Document = {} if since is None else {"at": {"$gte": since}}
        with translated():
            # MongoDB tries both indexes: few events are sorted, and many are read in their order.
            found = self._events.find(where, batch_size=_AT_ONCE, allow_disk_use=True)
            found = found.sort([("needle_id", 1), ("version", 1)])
            async for page in parsed(found, _event, _AT_ONCE):
                for event in page:
                    if acts and acts[0].needle_id != event.needle_id:
                        yield acts
                        acts = []
                    acts.append(event)
        if acts:
            yield acts

    async def time_by_needle(self, pause: timedelta) -> Mapping[NeedleId, timedelta]:
        before = {"before": {"$shift": {"output": "$at", "by": -1}}}
        order = {"partitionBy": "$by", "sortBy": {"at": 1, "_id": 1}, "output": before}
        since: Document = {"$subtract": ["$at", "$before"]}  # milliseconds; null for a first event
        counted = {"$cond": [{"$lte": [since, pause / _MILLISECOND]}, since, 0]}
        pipeline: list[Document] = [
            {"$project": _BY_PERSON},
            {"$setWindowFields": order},
            {"$group": {"_id": "$needle_id", "time": {"$sum": counted}}},
        ]
        with translated():
            # An index alone answers it: events carry their regions, and there are many.
            found = await (await self._events.aggregate(pipeline, hint=_BY_PERSON)).to_list()
        return {NeedleId(item["_id"]): item["time"] * _MILLISECOND for item in found}

    async def recent(self, limit: int) -> Sequence[ReviewEvent]:
        with translated():
            found = await self._events.find().sort("at", -1).limit(limit).to_list()
        return readable("reviews", found, _event)

    async def claim(
        self, needle_id: NeedleId, wanted: Claim, now: datetime, *, by_force: bool = False
    ) -> Claim:
        taken = {"by": wanted.by, "token_id": wanted.token_id, "until": wanted.until}
        free: Document = {"_id": needle_id}
        if not by_force:
            free["$or"] = [{"by": wanted.by}, {"until": {"$lte": now}}]
        with translated():
            try:
                found = await self._claims.find_one_and_update(
                    free,
                    {"$set": taken},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                found = await self._claims.find_one({"_id": needle_id})
        assert found is not None  # claims expire, but are never deleted
        return _claim(found)

    async def claims(self, needle_ids: Sequence[NeedleId], now: datetime) -> Mapping[str, Claim]:
        where = {"_id": {"$in": list(needle_ids)}, "until": {"$gt": now}}
        with translated():
            found = await self._claims.find(where).to_list()
        return {document["_id"]: _claim(document) for document in found}

    async def signing_key(self) -> bytes:
        with translated():
            found = await self._keys.find_one_and_update(
                {"_id": "sessions"},
                {"$setOnInsert": {"key": secrets.token_bytes(_KEY_BYTES)}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert found is not None  # upsert creates it
        return bytes(found["key"])


def _event(document: Document) -> ReviewEvent:
    return ReviewEvent(
        needle_id=NeedleId(document["needle_id"]),
        version=document["version"],
        act=Act(document["act"]),
        regions=tuple(RegionId(region) for region in document["regions"]),
        by=document["by"],
        token_id=document["token_id"],
        at=document["at"],
        undoes=document["undoes"],
        frame_id=document["frame_id"],
        revision=document["revision"],
        note=document["note"],
        act_id=document.get("act_id", ""),  # older ones have none
        verdict=Act(verdict) if (verdict := document.get("verdict")) else None,
        shown=tuple(document.get("shown", ())),
    )


def _claim(document: Document) -> Claim:
    return Claim(document["by"], document["token_id"], document["until"])
