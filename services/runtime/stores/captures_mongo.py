"""Frames by vehicle and capture time, in MongoDB."""

from datetime import datetime, timedelta

from services.contracts.identity import VehicleId
from services.domain.ports.captures import Capture
from services.runtime.stores.mongo import Database, translated

_RESOLUTION = timedelta(milliseconds=1)
"""MongoDB cuts off microseconds."""


class MongoCaptures:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def prepare(self) -> None:
        """Create the index, unless it is there: only pairing by time needs it."""
        with translated():
            await self._frames.create_index([("vehicle_id", 1), ("captured_at", 1)])

    async def near(self, vehicle_id: VehicleId, at: datetime, within_s: float) -> list[Capture]:
        margin = timedelta(seconds=within_s) + _RESOLUTION
        during = {"$gte": at - margin, "$lte": at + margin}
        where = {"vehicle_id": vehicle_id, "captured_at": during}
        with translated():
            found = await self._frames.find(where, {"captured_at": 1}).to_list()
        return [Capture(document["_id"], document["captured_at"]) for document in found]
