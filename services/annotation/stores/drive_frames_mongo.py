"""The frames before and after a frame of the same drive, in MongoDB."""

from datetime import datetime

from services.annotation.ports.drive_frames import DriveNeighbours
from services.contracts.identity import DriveId, FrameId
from services.runtime.stores.mongo import Database, Document, translated


class MongoDriveFrames:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._frames.create_index([("drive_id", 1), ("captured_at", 1), ("_id", 1)])

    async def neighbours(self, frame_id: FrameId, drive: DriveId, at: datetime) -> DriveNeighbours:
        return DriveNeighbours(
            previous=await self._nearest(frame_id, drive, at, "$lt", -1),
            following=await self._nearest(frame_id, drive, at, "$gt", 1),
        )

    async def _nearest(
        self, frame_id: FrameId, drive: DriveId, at: datetime, comparison: str, direction: int
    ) -> FrameId | None:
        where: Document = {
            "drive_id": drive,
            "$or": [
                {"captured_at": {comparison: at}},
                {"captured_at": at, "_id": {comparison: frame_id}},
            ],
        }
        order = [("captured_at", direction), ("_id", direction)]
        with translated():
            found = await self._frames.find(where, {"_id": 1}).sort(order).limit(1).to_list()
        return FrameId(found[0]["_id"]) if found else None
