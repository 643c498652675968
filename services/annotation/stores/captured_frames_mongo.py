"""Frames without their predictions and ground truth, in MongoDB."""

from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.frame_documents import IMAGE_DELETED, records_of
from services.runtime.stores.mongo import Database, translated

_PARTS = {"captured": 1, IMAGE_DELETED: 1}


class MongoCapturedFrames:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def of(self, frame_id: FrameId) -> FrameRecord | None:
        with translated():
            found = await self._frames.find_one({"_id": frame_id}, _PARTS)
        return records_of([found], (), {}).get(frame_id) if found else None
