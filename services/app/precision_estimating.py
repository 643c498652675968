"""Keep estimates of precision without ground truth up to date, in one process of the retrievers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from services.app.repeating import recomputed
from services.app.when_changed import WhenChanged, retrieval_state
from services.domain.ports.vectors import VectorReader
from services.retriever.estimate_gauges import clear_estimates, show_estimates
from services.retriever.stream_sample import StreamSample
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores

JOB: Final = "estimates"
_EVERY_S: Final = 60.0


async def estimate_precision(stores: Stores, vectors: VectorReader, settings: Settings) -> int:
    """Estimate precision again, for the gauges and for reports; returns the number of detectors.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    sample = StreamSample(stores.frames, stores.matches, vectors, settings)
    estimates = await sample.estimates()
    await stores.estimates.show(estimates)
    show_estimates(estimates)
    return len(estimates)


@asynccontextmanager
async def precision_estimated(
    stores: Stores, vectors: VectorReader, settings: Settings, clock: Clock, turn: asyncio.Lock
) -> AsyncIterator[None]:
    """Keep estimates up to date while the context is open.

    Parameters
    ----------
    turn : as in `recomputed`
    """

    async def estimate() -> int:
        return await estimate_precision(stores, vectors, settings)

    state = partial(retrieval_state, stores.epochs, vectors)
    work = WhenChanged(estimate, stores.matches, state, clock)
    async with AsyncExitStack() as closing:
        closing.callback(clear_estimates)
        estimating = recomputed("estimate_precision", work, clock, turn, every_s=_EVERY_S)
        await closing.enter_async_context(estimating)
        yield
