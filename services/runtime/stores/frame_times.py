"""When each part of a frame's record arrived, by the store's own clock."""

from datetime import datetime
from typing import Protocol

from services.contracts.identity import FrameId
from services.runtime.stores.mongo import Database, Document, translated


class FrameTimes(Protocol):
    """Times by frame."""

    async def of(self, frame_id: FrameId) -> dict[str, datetime]:
        """When a frame's parts were written: `captured`, `ground_truth`, `predictions …`, ….

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...


class MongoFrameTimes:
    """Reads the collection `frames`, where every newer part writes its time."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def of(self, frame_id: FrameId) -> dict[str, datetime]:
        with translated():
            found = await self._frames.find_one({"_id": frame_id}, {"times": 1})
        return _flat(found.get("times", {})) if found else {}


def _flat(times: Document) -> dict[str, datetime]:
    flat = {}
    for name, value in times.items():
        if isinstance(value, datetime):
            flat[name] = value
        else:
            flat |= {f"{name} {part}": at for part, at in value.items()}
    return flat
