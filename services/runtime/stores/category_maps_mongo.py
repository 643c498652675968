"""Category maps in MongoDB: one small document per detector, or per detector version."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from services.contracts.identity import Category, DetectorId
from services.domain.detection.category_map import SAME_NAMES, CategoryMap, Names, effective_map
from services.domain.ports.category_maps import (
    MapScope,
    Rematch,
    StoredMap,
    UnknownCategory,
    scopes_of,
)
from services.runtime.stores.mongo import Database, Document, literal, translated

_NAMES: Final[Document] = {"$ifNull": ["$names", []]}
_COUNTED: Final = 1000
"""Matches of a detector and a category that are read: there may be millions, and a thousand
categories."""


class MongoCategoryMaps:
    """The collection `category_maps`; unknown categories are found in `matches` and `frames`."""

    def __init__(self, database: Database) -> None:
        self._maps = database["category_maps"]
        self._matches = database["matches"]
        self._frames = database["frames"]

    async def change(
        self, scope: MapScope, names: Names, by: str, at: datetime, dropped: Collection[Category]
    ) -> bool:
        where, update = {"_id": scope}, _changing(names, dropped, by, at)
        with translated():
            result = await self._maps.update_one(where, update, upsert=bool(names))
        return bool(result.modified_count or result.upserted_id is not None)

    async def rematch(self, scope: MapScope, by: str, at: datetime) -> None:
        update = [{"$replaceWith": _revised(_NAMES, by, at)}]
        with translated():
            await self._maps.update_one({"_id": scope}, update, upsert=True)

    async def all(self) -> Sequence[StoredMap]:
        with translated():
            found = await self._maps.find().sort("_id", 1).to_list()
        return [
            StoredMap(item["_id"], _map(item), item["changed_by"], item["changed_at"])
            for item in found
        ]

    async def of(self, detectors: Collection[DetectorId]) -> Mapping[DetectorId, CategoryMap]:
        scopes = {scope for detector in detectors for scope in scopes_of(detector)}
        if not scopes:
            return {}
        with translated():
            found = await self._maps.find({"_id": {"$in": sorted(scopes)}}).to_list()
        maps = {document["_id"]: _map(document) for document in found}
        return {
            detector: effective_map(*(maps.get(scope, SAME_NAMES) for scope in scopes_of(detector)))
            for detector in detectors
            if not maps.keys().isdisjoint(scopes_of(detector))
        }

    async def unmatched(self) -> Sequence[Rematch]:
        with translated():
            found = await self._maps.find({"rematch": {"$exists": True}}).sort("_id", 1).to_list()
        return [Rematch(item["_id"], item["revision"], item["rematch"]) for item in found]

    async def note(self, done: Rematch) -> None:
        await self._update(done, {"$set": {"rematch": done.after}})

    async def finish(self, done: Rematch) -> None:
        await self._update(done, {"$unset": {"rematch": ""}})

    async def _update(self, done: Rematch, update: Document) -> None:
        with translated():
            await self._maps.update_one({"_id": done.scope, "revision": done.revision}, update)

    async def unknown(self) -> Sequence[UnknownCategory]:
        with translated():
            # All are read from indexes alone.
            matched = set(await self._matches.distinct("categories")) - {None}
            unannotated = sorted(matched - set(await self._frames.distinct("categories")))
            detectors = {
                name: await self._matches.distinct("detector", {"categories": name})
                for name in unannotated
            }
            maps = await self.of({detector for found in detectors.values() for detector in found})
            counted = [
                await self._counted(DetectorId(detector), name)
                for name, found in detectors.items()
                for detector in found
                if name not in maps.get(detector, SAME_NAMES).names
            ]
        found = [item for item in counted if item.frames]
        return sorted(found, key=lambda item: (item.detector, item.category))

    async def _counted(self, detector: DetectorId, category: Category) -> UnknownCategory:
        """How many of a detector's matches have a category now, of the first that ever had it."""
        counted = {"$sum": {"$cond": [{"$in": [literal(category), "$groups.categories"]}, 1, 0]}}
        pipeline: list[Document] = [
            {"$match": {"categories": category, "detector": detector}},
            {"$limit": _COUNTED},
            {"$group": {"_id": None, "read": {"$sum": 1}, "frames": counted}},
        ]
        found = await (await self._matches.aggregate(pipeline)).to_list()
        read, frames = (found[0]["read"], found[0]["frames"]) if found else (0, 0)
        return UnknownCategory(detector, category, frames, at_least=read == _COUNTED)


def _changing(names: Names, dropped: Collection[Category], by: str, at: datetime) -> list[Document]:
    """The update that changes names; it changes nothing where they are so already."""
    # Pairs, because MongoDB gives dots and dollars in a field's name a meaning.
    pairs = literal([[name, target] for name, target in sorted(names.items())])
    replaced = literal(sorted({*names, *dropped}))
    name = {"$arrayElemAt": ["$$this", 0]}
    kept = {"$filter": {"input": _NAMES, "cond": {"$not": {"$in": [name, replaced]}}}}
    after = {"$concatArrays": [kept, pairs]}
    same = {"$setEquals": [after, _NAMES]}
    return [{"$replaceWith": {"$cond": [same, "$$ROOT", _revised(after, by, at)]}}]


def _revised(names: Document, by: str, at: datetime) -> Document:
    """The document with these names, due for matching again."""
    changed = {
        "names": names,
        "revision": {"$add": [{"$ifNull": ["$revision", 0]}, 1]},
        "changed_by": literal(by),
        "changed_at": literal(at),
        "rematch": "",
    }
    return {"$mergeObjects": ["$$ROOT", changed]}


def _map(document: Document) -> CategoryMap:
    return CategoryMap(dict(document["names"]), document["revision"])
