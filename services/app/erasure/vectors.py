"""Vectors of erased frames and of their regions, in every model's collections."""

from collections.abc import Collection

import numpy as np

from services.contracts.identity import FrameId
from services.domain.ports.embeddings import Embeddings
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, VectorStore, Where
from services.runtime.progress import report_progress

_AT_ONCE = 10_000


class VectorTraces:
    """Points that name frames."""

    name = "vectors"

    def __init__(self, vectors: VectorStore) -> None:
        self._vectors = vectors

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        collections = await self._collections()
        return sum(
            [
                await self._vectors.count(collection, _of(frame_id))
                for collection in collections
                for frame_id in frame_ids
            ]
        )

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        for collection in await self._collections():
            dimension = await self._vectors.dimension(collection)
            anything = np.ones(dimension or 1, np.float32)
            for frame_id in frame_ids:
                # By their payload, because a crash may have left points that no event names.
                while hits := await self._vectors.nearest(
                    collection, anything, _of(frame_id), _AT_ONCE
                ):
                    await self._vectors.delete(collection, [hit.point_id for hit in hits])
                report_progress()

    async def _collections(self) -> list[str]:
        prefixes = (f"{FRAME_VECTORS}-", f"{REGION_VECTORS}-")
        return [name for name in await self._vectors.collections() if name.startswith(prefixes)]


class RecordedVectors:
    """Points that the embedder has recorded, for processes without an open vector store."""

    name = VectorTraces.name

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        records = (await self._embeddings.load(frame_ids)).values()
        events = [event for record in records for event in record.embedded.values()]
        return sum(1 + len(event.region_ids()) for event in events)


def _of(frame_id: FrameId) -> Where:
    return Where(equals={"frame_id": frame_id})
