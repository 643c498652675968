"""Shortlists that people make themselves, in MongoDB."""

from collections.abc import Sequence
from dataclasses import asdict, fields

from services.annotation.ports.region_shortlists import (
    MAX_SHORTLISTS,
    ListedRegion,
    RegionShortlist,
    ShortlistSummary,
)
from services.runtime.stores.mongo import Database, Document, translated


class MongoRegionShortlists:
    """The collection `region_shortlists`."""

    def __init__(self, database: Database) -> None:
        self._shortlists = database["region_shortlists"]

    async def summaries(self) -> Sequence[ShortlistSummary]:
        # Counted by the server: all regions of all shortlists are up to 200 MB.
        counts = {
            "by": 1,
            "at": 1,
            "regions": {"$size": "$regions"},
            "frames": {"$size": {"$setUnion": ["$regions.frame_id"]}},
        }
        with translated():
            found = await self._shortlists.find({}, counts).sort([("at", -1), ("_id", 1)]).to_list()
        return [ShortlistSummary(name=item.pop("_id"), **item) for item in found]

    async def find(self, name: str) -> RegionShortlist | None:
        with translated():
            found = await self._shortlists.find_one({"_id": name})
        return _shortlist(found) if found else None

    async def add(self, shortlist: RegionShortlist) -> bool:
        document: Document = {
            "by": shortlist.by,
            "at": shortlist.at,
            "regions": [asdict(region) for region in shortlist.regions],
        }
        with translated():
            if await self._shortlists.count_documents({}, limit=MAX_SHORTLISTS) == MAX_SHORTLISTS:
                return False
            stored = await self._shortlists.update_one(
                {"_id": shortlist.name}, {"$setOnInsert": document}, upsert=True
            )
        return stored.upserted_id is not None

    async def drop(self, name: str) -> None:
        with translated():
            await self._shortlists.delete_one({"_id": name})


def _shortlist(document: Document) -> RegionShortlist:
    names = [field.name for field in fields(ListedRegion)]
    return RegionShortlist(
        document["_id"],
        document["by"],
        document["at"],
        tuple(
            ListedRegion(**{name: region[name] for name in names} | {"bbox": (*region["bbox"],)})
            for region in document["regions"]
        ),
    )
