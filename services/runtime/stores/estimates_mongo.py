"""The latest estimates of each detector's precision in MongoDB."""

from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter

from services.contracts.identity import DetectorId
from services.domain.metrics.estimated_precision import EstimatedStream
from services.runtime.stores.mongo import Database, translated

_STREAM: Final = TypeAdapter(EstimatedStream)


class MongoEstimateStore:
    """The collection `estimates`; its documents name slices, and no frames."""

    def __init__(self, database: Database) -> None:
        self._estimates = database["estimates"]

    async def show(self, estimates: Mapping[DetectorId, EstimatedStream]) -> None:
        with translated():
            for detector, found in estimates.items():
                document = {"content": _STREAM.dump_json(found)}
                await self._estimates.replace_one({"_id": detector}, document, upsert=True)
            await self._estimates.delete_many({"_id": {"$nin": list(estimates)}})

    async def all(self) -> dict[DetectorId, EstimatedStream]:
        with translated():
            found = await self._estimates.find().sort("_id", 1).to_list()
        return {DetectorId(item["_id"]): _STREAM.validate_json(item["content"]) for item in found}
