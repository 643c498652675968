"""A second embedder beside everything else, whose collections are filled from the stored frames."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from services.app.repeating import Ticker, going_on
from services.contracts.errors import Transient
from services.domain.ports.vectors import VectorStore
from services.embedder.filling import FillModel
from services.embedder.service import EmbedFrames
from services.runtime.clock import Clock
from services.runtime.embedded.embedders import note_embedder
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores

FILL_PAUSE_S = 5.0
"""From one pass to the next: how far behind the live model a follower may be."""
log = structlog.get_logger(__name__)


async def filler(
    settings: Settings, stores: Stores, vectors: VectorStore, *, outbox: Outbox, clock: Clock
) -> FillModel:
    """What fills the collections of the embedder that these settings name.

    Raises
    ------
    MissingWeights, InvalidSettings
        There is no such embedder.
    """
    # torch takes seconds to import.
    from services.embedder.models.torch_embedder import TorchEmbedder  # noqa: PLC0415

    embedder = await asyncio.to_thread(TorchEmbedder.of, settings)
    note_embedder(settings, embedder.model_id)
    step = EmbedFrames(
        embedder,
        stores.frames,
        stores.blobs,
        vectors,
        outbox=outbox,
        settings=settings,
        clock=clock,
    )
    return FillModel(step, stores.embeddings)


async def following(work: FillModel, pauses: Ticker) -> None:
    """Pass after pass, until it is cancelled or its pauses end; what is away is waited for."""
    pause_s = 0.0
    while await pauses.passed(pause_s):
        try:
            await work.fill()
        except Transient as exc:
            log.warning("filling_later", model=work.model_id, error=str(exc))
        pause_s = FILL_PAUSE_S


@asynccontextmanager
async def filled_beside(work: FillModel) -> AsyncIterator[None]:
    """The model is filled, and follows, while this is open."""
    async with going_on(partial(following, work)):
        yield
