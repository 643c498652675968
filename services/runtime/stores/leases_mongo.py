"""Leases in MongoDB: one document per job."""

from datetime import timedelta

from pymongo import ReturnDocument

from services.runtime.stores.mongo import Database, literal, translated

_MILLISECOND = timedelta(milliseconds=1)


class MongoLeaseStore:
    """The collection `leases`."""

    def __init__(self, database: Database) -> None:
        self._leases = database["leases"]

    async def hold(self, name: str, holder: str, length: timedelta) -> bool:
        # MongoDB's clock decides, so that clocks of processes may differ.
        is_holder = {"$eq": ["$holder", literal(holder)]}
        over = {"$lte": [{"$ifNull": ["$until", "$$NOW"]}, "$$NOW"]}
        free = {"$or": [is_holder, over]}
        until = {"$add": ["$$NOW", length // _MILLISECOND]}
        update = {
            "holder": {"$cond": [free, literal(holder), "$holder"]},
            "until": {"$cond": [free, until, "$until"]},
        }
        with translated():
            lease = await self._leases.find_one_and_update(
                {"_id": name}, [{"$set": update}], upsert=True, return_document=ReturnDocument.AFTER
            )
        return lease is not None and bool(lease["holder"] == holder)

    async def release(self, name: str, holder: str) -> None:
        with translated():
            await self._leases.delete_one({"_id": name, "holder": holder})
