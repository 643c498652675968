"""The latest comparisons of detector versions in MongoDB."""

import zlib
from collections.abc import Mapping

from services.contracts.identity import DetectorId
from services.domain.ports.comparisons import Versions
from services.runtime.stores.mongo import Database, translated


class MongoComparisonStore:
    """The collection `comparisons`."""

    def __init__(self, database: Database) -> None:
        self._comparisons = database["comparisons"]

    async def show(self, comparisons: Mapping[Versions, bytes]) -> None:
        with translated():
            for (old, new), content in comparisons.items():
                key = f"{old}|{new}"
                document = {"old": old, "new": new, "content": zlib.compress(content)}
                await self._comparisons.replace_one({"_id": key}, document, upsert=True)
            shown = [f"{old}|{new}" for old, new in comparisons]
            await self._comparisons.delete_many({"_id": {"$nin": shown}})

    async def all(self) -> dict[Versions, bytes]:
        with translated():
            found = await self._comparisons.find().sort("_id", 1).to_list()
        return {
            (DetectorId(item["old"]), DetectorId(item["new"])): zlib.decompress(item["content"])
            for item in found
        }
