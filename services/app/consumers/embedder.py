"""Build the embedder, and the work that fills a second embedder's vectors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.app.consumers.building import BuiltService, Parts
from services.app.erasure.vectors import VectorTraces
from services.app.filling import embedding_step, filled_in_background, filler
from services.app.retention.old_vectors import VectorSweeper, vectors_kept
from services.contracts.flow import READS
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.stores.frame_traces import ImageTraces, of_embedder
from services.runtime.stores.retention_mongo import MongoRetention


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it.

    Raises
    ------
    MissingWeights, InvalidSettings
        There is no such embedder.
    """
    stores, clock = parts.stores, parts.clock
    async with parts.connected("embedder") as client, AsyncExitStack() as closing:
        outbox = client.outbox
        vectors = await asyncio.to_thread(parts.open_vectors)
        step = await embedding_step(parts.settings, stores, vectors, outbox=outbox, clock=clock)
        used = {step.model_id}
        if parts.fill_settings is not None:
            second = parts.fill_settings
            work = await filler(second, stores, vectors, outbox=outbox, clock=clock)
            used.add(work.model_id)
            await closing.enter_async_context(filled_in_background(work))
        sweeper = VectorSweeper(
            MongoRetention(stores.database),
            stores.embeddings,
            vectors,
            used,
            settings=parts.settings,
            clock=clock,
        )
        await closing.enter_async_context(vectors_kept(sweeper, stores.leases, clock))
        images = ImageTraces(stores.database, stores.blobs)
        served = ErasedFramesLeftOut(
            "embedder",
            step,
            stores.tombstones,
            outbox,
            traces=[images, VectorTraces(vectors), *of_embedder(stores.database)],
            drop_images=images.drop,
        )
        yield BuiltService([client.consumer(READS["embedder"], served)])
