"""Embed frames as they arrive, and fill a second embedder's collections from stored frames."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial

from services.app.erasure.vectors import VectorTraces
from services.app.repeating import Ticker, attempted, in_background
from services.contracts.identity import FrameId
from services.domain.ports.erasure import FrameTraces, TombstoneStore
from services.domain.ports.vectors import VectorStore
from services.embedder.filling import FillModel
from services.embedder.models.choosing import source_of
from services.embedder.service import EmbedFrames
from services.runtime.clock import Clock
from services.runtime.embedded.embedders import note_embedder
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.frame_traces import of_embedder
from services.runtime.stores.opening import Stores

FILL_PAUSE_S = 5.0
"""Pause between passes: how far a follower may lag behind the live model."""


async def embedding_step(
    settings: Settings, stores: Stores, vectors: VectorStore, *, outbox: Outbox, clock: Clock
) -> EmbedFrames:
    """The step of the embedder that these settings name; the data folder remembers the settings.

    Raises
    ------
    MissingWeights, InvalidSettings
        There is no such embedder.
    """
    source = await asyncio.to_thread(source_of, settings, stores.blobs)
    note_embedder(settings, source.model_id)
    return EmbedFrames(
        source,
        stores.embeddings,
        stores.frames,
        vectors,
        outbox=outbox,
        settings=settings,
        clock=clock,
    )


async def filler(
    settings: Settings, stores: Stores, vectors: VectorStore, *, outbox: Outbox, clock: Clock
) -> FillModel:
    """The filler for the embedder that these settings name.

    Raises
    ------
    MissingWeights, InvalidSettings
        There is no such embedder.
    """
    step = await embedding_step(settings, stores, vectors, outbox=outbox, clock=clock)
    traces = [VectorTraces(vectors), *of_embedder(stores.database)]
    return FillModel(step, stores.embeddings, partial(erase_late, stores.tombstones, traces))


async def erase_late(
    tombstones: TombstoneStore, traces: Sequence[FrameTraces], frame_ids: Collection[FrameId]
) -> None:
    """Erase what was written of erased frames, after the embedder may have looked for it."""
    erased = await tombstones.erased(frame_ids)
    if erased:
        for place in traces:
            await place.erase(erased)


async def following(work: FillModel, ticker: Ticker) -> None:
    """Repeat passes until cancelled or the ticker ends; retry what fails or is unreachable."""
    pause_s = 0.0
    while await ticker.passed(pause_s):
        await attempted("fill_model", work.fill)
        pause_s = FILL_PAUSE_S


@asynccontextmanager
async def filled_in_background(work: FillModel) -> AsyncIterator[None]:
    """Fill the model and follow new frames while the context is open."""
    async with in_background(partial(following, work)):
        yield
