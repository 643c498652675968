"""Regions and frames that look like one, or like a part of an image, or that a text describes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.annotation.ports.query_embedder import Query, QueryEmbedder
from services.contracts.identity import FrameId, PointId, RegionId, frame_point_id, region_point_id
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Hit,
    VectorReader,
    Where,
    collection_of,
    live_model,
)

MAX_HITS: Final = 60


@dataclass(frozen=True)
class SimilarThings:
    """Searches the live model's vectors.

    Attributes
    ----------
    embedder : for parts of images and texts; None if this process has none
    """

    vectors: VectorReader
    embedder: QueryEmbedder | None = None

    async def of_region(self, region: RegionId, split: str) -> Sequence[Hit] | None:
        """The most similar detected regions, best first; None if it has no vector yet.

        Parameters
        ----------
        split : `reference` or `haystack` to search only there; empty for both

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        model = await live_model(self.vectors, REGION_VECTORS)
        if model is None:
            return None
        collection = collection_of(REGION_VECTORS, model)
        hits = await self._near(collection, region_point_id(model, region), split)
        # Annotated objects are no detections.
        return hits and [hit for hit in hits if hit.payload.get("detector")]

    async def of_frame(self, frame_id: FrameId, split: str) -> Sequence[Hit] | None:
        """The frames that are most similar as a whole; otherwise like `of_region`."""
        model = await live_model(self.vectors, FRAME_VECTORS)
        if model is None:
            return None
        collection = collection_of(FRAME_VECTORS, model)
        return await self._near(collection, frame_point_id(model, frame_id), split)

    async def of_query(self, query: Query, alias: str, split: str) -> Sequence[Hit] | None:
        """What is nearest to a query; None if the live model is another than the query's."""
        if await live_model(self.vectors, alias) != query.model:
            return None
        where = Where(equals={"split": split} if split else {})
        collection = collection_of(alias, query.model)
        hits = await self.vectors.nearest(collection, query.vector, where, MAX_HITS)
        return [hit for hit in hits if alias == FRAME_VECTORS or hit.payload.get("detector")]

    async def _near(self, collection: str, point: PointId, split: str) -> Sequence[Hit] | None:
        known = await self.vectors.load(collection, [point])
        if point not in known:
            return None
        where = Where(equals={"split": split} if split else {})
        hits = await self.vectors.nearest(collection, known[point], where, MAX_HITS + 1)
        return [hit for hit in hits if hit.point_id != point][:MAX_HITS]
