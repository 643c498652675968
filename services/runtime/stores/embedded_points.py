"""Which vectors the vector store has: how many, and of which frames some are missing."""

from collections.abc import Sequence

from services.contracts.events import FrameEmbedded
from services.contracts.identity import FrameId, ModelId, region_point_id
from services.domain.ports.embeddings import Points
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorReader,
    Where,
    collection_of,
)


async def held_points(vectors: VectorReader, model: ModelId) -> Points:
    """Count a model's points in the vector store.

    Raises
    ------
    StoreUnavailable
        The vector store does not answer.
    """
    return Points(
        await vectors.count(collection_of(FRAME_VECTORS, model), Where()),
        await vectors.count(collection_of(REGION_VECTORS, model), Where()),
    )


async def lost_frames(vectors: VectorReader, events: Sequence[FrameEmbedded]) -> list[FrameId]:
    """Frames whose FrameEmbedded event, all of one model, names a vector that is missing.

    Raises
    ------
    StoreUnavailable
        The vector store does not answer.
    """
    if not events:
        return []
    model = events[0].model
    frames = {event.frame_point: event.frame_id for event in events}
    regions = {
        region_point_id(model, region_id): event.frame_id
        for event in events
        for region_id in event.region_ids()
    }
    stored_points = await vectors.load(collection_of(FRAME_VECTORS, model), frames)
    stored_points |= await vectors.load(collection_of(REGION_VECTORS, model), regions)
    return sorted(
        {frame for point, frame in (frames | regions).items() if point not in stored_points}
    )
