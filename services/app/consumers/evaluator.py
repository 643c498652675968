"""Build the evaluator, with the gauges that change when no match arrives, and the figures' job."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from services.app.consumers.building import BuiltService, Parts
from services.app.elected import elected
from services.app.figures_job import JOB, figures_refreshed
from services.app.repeating import Ticker, attempted, in_background
from services.contracts.flow import READS
from services.evaluator.live.service import EvaluateMatches
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.progress import Progress, progress_of


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it."""
    stores, settings, clock = parts.stores, parts.settings, parts.clock
    async with parts.connected("evaluator") as client, AsyncExitStack() as closing:
        job = partial(figures_refreshed, stores, settings, clock, parts.turn)
        await closing.enter_async_context(elected(JOB, stores.leases, job, clock))
        step = EvaluateMatches(matches=stores.matches, settings=settings, clock=clock)
        served = ErasedFramesLeftOut(
            "evaluator", step, stores.tombstones, client.outbox, forget=step.forget
        )
        progress = Progress()
        # A batch waits while the background refreshes gauges, whose steps are then its progress.
        with progress_of(progress):
            for name, work in (("refresh", step.refresh), ("assess", step.assess)):
                going = _gauges_refreshed(name, work, settings.evaluate_every_s)
                await closing.enter_async_context(going)
        consumer = client.consumer(READS["evaluator"], served, listener=step, progress=progress)
        yield BuiltService([consumer])


@asynccontextmanager
async def _gauges_refreshed(
    name: str, work: Callable[[], Awaitable[None]], every_s: float
) -> AsyncIterator[None]:
    """Refresh the gauges periodically, also when no match arrives."""

    async def refresh(ticker: Ticker) -> None:
        while await ticker.passed(every_s):
            await attempted(name, work)

    async with in_background(refresh):
        yield
