"""Reads from MongoDB what annotators have opened."""

from collections.abc import Collection

from services.contracts.identity import FrameId, NeedleId
from services.domain.ports.openings import Opened
from services.runtime.stores.mongo import Database, translated

_BEGUN = ("started", "skipped", "answered", "refused")
"""The status of a task that somebody has worked on; the annotation service writes it."""


class MongoOpenings:
    """Reads `review_claims`, which keeps every needle ever claimed, and `annotation_tasks`."""

    def __init__(self, database: Database) -> None:
        self._claims = database["review_claims"]
        self._tasks = database["annotation_tasks"]

    async def among(
        self, needle_ids: Collection[NeedleId], frame_ids: Collection[FrameId]
    ) -> Opened:
        if not needle_ids and not frame_ids:
            return Opened()
        begun = {"_id": {"$in": sorted(frame_ids)}, "status": {"$in": _BEGUN}}
        with translated():
            needles = await self._claims.distinct("_id", {"_id": {"$in": sorted(needle_ids)}})
            frames = await self._tasks.distinct("_id", begun)
        return Opened(frozenset(needles), frozenset(frames))
