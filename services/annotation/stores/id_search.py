"""Frames and needles whose ids contain a text."""

import re
from typing import Protocol

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout

from services.contracts.identity import FrameId, NeedleId
from services.runtime.stores.mongo import Database, Document, translated

_PATIENCE_MS = 2_000


class IdSearch(Protocol):
    """Finds ids by a part of them; ids that begin with it come first."""

    async def frames(self, part: str, limit: int) -> list[FrameId]:
        """The ids of frames that contain this text.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def needles(self, part: str, limit: int) -> list[NeedleId]:
        """The ids of active needles that contain this text."""
        ...


class MongoIdSearch:
    """Searches the indexes of ids; gives up on a part in the middle after two seconds."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._needles = database["needles"]

    async def frames(self, part: str, limit: int) -> list[FrameId]:
        return [FrameId(found) for found in await _found(self._frames, part, limit, {})]

    async def needles(self, part: str, limit: int) -> list[NeedleId]:
        active = {"state.active": True}
        return [NeedleId(found) for found in await _found(self._needles, part, limit, active)]


async def _found(
    collection: AsyncCollection[Document], part: str, limit: int, where: Document
) -> list[str]:
    text = re.escape(part)
    ids: dict[str, None] = {}
    for pattern in (f"^{text}", text):
        if len(ids) >= limit:
            break
        wanted = {**where, "_id": {"$regex": pattern}}
        cursor = collection.find(wanted, {"_id": 1}).sort("_id", 1).limit(limit)
        with translated():
            try:
                found = await cursor.max_time_ms(_PATIENCE_MS).to_list()
            except ExecutionTimeout:
                break  # a part in the middle has no index; what begins with it was found
        ids |= {document["_id"]: None for document in found}
    return list(ids)[:limit]
