"""The tags of frames, their own and derived ones, without anything else of the frames."""

from collections.abc import Collection, Mapping
from typing import Final

from services.contracts.identity import FrameId
from services.domain.chunks import chunks
from services.domain.derived_tags import tags_of
from services.runtime.stores.frame_documents import captured_of
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

_LOADED: Final = 5000
"""Frames per query."""


class MongoFrameTags:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def of(self, frame_ids: Collection[FrameId]) -> dict[FrameId, Mapping[str, str]]:
        """The tags of those of these frames that are captured.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        tags: dict[FrameId, Mapping[str, str]] = {}
        for chunk in chunks(sorted(frame_ids), _LOADED):
            where: Document = {"_id": {"$in": chunk}, "captured": {"$exists": True}}
            with translated():
                found = await self._frames.find(where, {"captured": 1}).to_list()
            captures = readable("frames", found, captured_of)
            tags |= {captured.frame_id: tags_of(captured) for captured in captures}
        return tags
