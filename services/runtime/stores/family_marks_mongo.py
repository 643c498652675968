"""Each needle's family, stored in the needle's document so that lists can filter by it."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256

from pymongo import UpdateOne

from services.contracts.identity import DetectorId, FamilyId, NeedleId
from services.domain.mining.family_changes import Change, FamilyChange, family_changes
from services.domain.ports.family_marks import Mark
from services.runtime.stores.mongo import Database, Document, translated, write

_FIELDS = {"mark": 1}


class MongoFamilyMarks:
    """The part `mark` of the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]
        self._changes = database["family_changes"]

    async def show(self, marks: Mapping[NeedleId, Mark], now: datetime) -> int:
        with translated():
            known = await self._needles.find({"mark": {"$exists": True}}, _FIELDS).to_list()
        before = {document["_id"]: document["mark"] for document in known}
        # In a thread: there may be 100,000 needles.
        changes, updates = await asyncio.to_thread(_updates, before, marks, now)
        await write(self._changes, changes)
        await write(self._needles, updates)
        return len(updates)

    async def changes(self, limit: int) -> list[tuple[datetime, FamilyChange]]:
        with translated():
            found = await self._changes.find().sort([("at", -1), ("_id", 1)]).to_list(limit)
        return [
            (
                document["at"],
                FamilyChange(
                    Change(document["change"]),
                    document["family"],
                    document["other"],
                    document["needles"],
                ),
            )
            for document in found
        ]

    async def of(self, needle_id: NeedleId) -> Mark:
        with translated():
            found = await self._needles.find_one({"_id": needle_id}, _FIELDS)
        part: Document = (found or {}).get("mark", {})
        return Mark(**part)

    async def families(self, detector: DetectorId) -> dict[NeedleId, FamilyId]:
        wanted: Document = {"detector": detector, "mark.family": {"$type": "string"}}
        with translated():
            found = await self._needles.find(wanted, {"mark.family": 1}).to_list()
        return {document["_id"]: FamilyId(document["mark"]["family"]) for document in found}


def _updates(
    before: Mapping[NeedleId, Document], marks: Mapping[NeedleId, Mark], now: datetime
) -> tuple[list[UpdateOne], list[UpdateOne]]:
    """What is to be written: the changes of families, and the marks that differ."""
    wanted = {needle_id: asdict(mark) for needle_id, mark in marks.items()}
    updates = [
        UpdateOne({"_id": needle_id}, {"$set": {"mark": mark}})
        for needle_id, mark in wanted.items()
        if before.get(needle_id) != mark
    ]
    gone = before.keys() - wanted.keys()
    updates += [UpdateOne({"_id": item}, {"$unset": {"mark": ""}}) for item in gone]
    return _recorded(_families(before), _families(wanted), now), updates


def _recorded(
    before: Mapping[NeedleId, FamilyId], after: Mapping[NeedleId, FamilyId], now: datetime
) -> list[UpdateOne]:
    digest = sha256(repr(sorted(after.items())).encode()).hexdigest()[:16]
    return [
        UpdateOne(
            {"_id": f"{step.family} {step.change} {step.other} {digest}"},
            {"$setOnInsert": {**asdict(step), "at": now}},
            upsert=True,
        )
        for step in family_changes(before, after)
    ]


def _families(marks: Mapping[NeedleId, Document]) -> dict[NeedleId, FamilyId]:
    return {
        needle_id: FamilyId(mark["family"])
        for needle_id, mark in marks.items()
        if mark.get("family")
    }
