"""Frames and needles whose ids contain a text, found by MongoDB's indexes."""

import re
from typing import Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout

from services.annotation.ports.id_search import FoundIds
from services.contracts.identity import FrameId, NeedleId
from services.runtime.stores.mongo import Database, Document, translated

_PATIENCE_MS: Final = 2_000


class MongoIdSearch:
    """Searches the indexes of ids; gives up on a part in the middle after two seconds."""

    def __init__(self, database: Database, patience_ms: int = _PATIENCE_MS) -> None:
        self._frames = database["frames"]
        self._needles = database["needles"]
        self._patience_ms = patience_ms

    async def frames(self, part: str, limit: int) -> FoundIds[FrameId]:
        found, is_complete = await self._found(self._frames, part, limit, {})
        return FoundIds([*map(FrameId, found)], is_complete)

    async def needles(self, part: str, limit: int) -> FoundIds[NeedleId]:
        active = {"state.active": True}
        found, is_complete = await self._found(self._needles, part, limit, active)
        return FoundIds([*map(NeedleId, found)], is_complete)

    async def _found(
        self, collection: AsyncCollection[Document], part: str, limit: int, where: Document
    ) -> tuple[list[str], bool]:
        """The ids, and whether they are all."""
        text = re.escape(part)
        ids: dict[str, None] = {}
        for pattern in (f"^{text}", text):
            if len(ids) >= limit:
                break
            wanted = {**where, "_id": {"$regex": pattern}}
            cursor = collection.find(wanted, {"_id": 1}).sort("_id", 1).limit(limit)
            with translated():
                try:
                    found = await cursor.max_time_ms(self._patience_ms).to_list()
                except ExecutionTimeout:  # a part in the middle has no index
                    return list(ids), False
            ids |= {document["_id"]: None for document in found}
        return list(ids)[:limit], True
