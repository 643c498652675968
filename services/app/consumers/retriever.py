"""Build the retriever, with the work that it does in the background."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from services.app.consumers.building import BuiltService, Parts
from services.app.elected import elected
from services.app.erasure.needles import NeedleTraces
from services.app.family_marking import mark_families
from services.app.precision_estimating import JOB, precision_estimated
from services.app.region_mapping import draw_region_map
from services.app.repeating import recomputed, repeated
from services.app.when_changed import WhenChanged, retrieval_state
from services.contracts.flow import READS
from services.contracts.identity import FrameId, frame_hash
from services.retriever.service import PublishShortlists
from services.retriever.sources import RetrieverStores
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.progress import Progress, progress_of
from services.runtime.settings import Settings
from services.runtime.step import Outbox, Step
from services.runtime.stores.frame_traces import of_retriever

_FAMILIES_S = 15.0
_BUDGETS_S = 15.0
_MAP_S = 60.0


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it."""
    async with parts.connected("retriever") as client:
        step = await asyncio.to_thread(_step, parts, client.outbox)
        progress = Progress()
        async with _background_work(parts, step, progress):
            served = _without_erased(parts, step, client.outbox)
            consumer = client.consumer(
                READS["retriever"], served, settings=_batched(parts.settings), progress=progress
            )
            yield BuiltService([consumer], step.settle)


@asynccontextmanager
async def _background_work(
    parts: Parts, step: PublishShortlists, progress: Progress
) -> AsyncIterator[None]:
    """Estimate, draw, report and settle periodically while the context is open.

    Parameters
    ----------
    progress : of the service; while a batch waits for a background plan, the plan's steps count
    """
    clock, turn = parts.clock, parts.turn
    job = partial(
        precision_estimated, parts.stores, parts.open_vectors(), parts.settings, clock, turn
    )
    async with AsyncExitStack() as closing:
        await closing.enter_async_context(elected(JOB, parts.stores.leases, job, clock))
        with progress_of(progress):
            for name, work, every_s in (
                ("mark_families", _families_marked(parts), _FAMILIES_S),
                ("draw_region_map", _region_map_drawn(parts), _MAP_S),
                ("report_budgets", step.report_budgets, _BUDGETS_S),
            ):
                await closing.enter_async_context(
                    recomputed(name, work, clock, turn, every_s=every_s)
                )
            every_s = parts.settings.epoch_s / 4
            await closing.enter_async_context(
                repeated("settle_shortlists", step.settle_when_due, clock, every_s=every_s)
            )
        yield


def _without_erased(parts: Parts, step: PublishShortlists, outbox: Outbox) -> Step:
    """The step for all events but those of erased frames, whose traces it erases."""
    return ErasedFramesLeftOut(
        "retriever",
        step,
        parts.stores.tombstones,
        outbox,
        traces=[
            NeedleTraces(parts.stores.needles, outbox),
            *of_retriever(parts.stores.database),
            # Last, so that what is recorded next follows from what is left.
            RecordedState(step),
        ],
        forget=step.forget,
    )


class RecordedState:
    """What the retriever records of detectors, and failure models: all of it is read again."""

    name = "what the retriever has recorded"

    def __init__(self, step: PublishShortlists) -> None:
        self._step = step

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        """None: it is not known of which frames it is made."""
        del frame_ids
        return 0

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        await self._step.forget({frame_hash(frame_id) for frame_id in frame_ids})


def _step(parts: Parts, outbox: Outbox) -> PublishShortlists:
    return PublishShortlists(
        RetrieverStores(
            frames=parts.stores.frames,
            matches=parts.stores.matches,
            needles=parts.stores.needles,
            vectors=parts.open_vectors(),
            epochs=parts.stores.epochs,
            models=parts.stores.failure_models,
            openings=parts.stores.openings,
            known_places=parts.stores.known_places,
            budgets=parts.stores.budgets,
        ),
        outbox=outbox,
        settings=parts.settings,
        clock=parts.clock,
    )


def _batched(settings: Settings) -> Settings:
    """A batch of the retriever is an epoch."""
    larger = {"batch_size": settings.epoch_events, "batch_wait_s": settings.epoch_s}
    return settings.model_copy(update=larger)


def _families_marked(parts: Parts) -> WhenChanged[int]:
    stores, vectors = parts.stores, parts.open_vectors()

    async def mark() -> int:
        return await mark_families(stores, vectors, parts.settings, parts.clock)

    return _when_changed(parts, mark)


def _region_map_drawn(parts: Parts) -> WhenChanged[int]:
    async def draw() -> int:
        return await draw_region_map(parts.stores, parts.open_vectors())

    return _when_changed(parts, draw)


def _when_changed(parts: Parts, work: Callable[[], Awaitable[int]]) -> WhenChanged[int]:
    state = partial(retrieval_state, parts.stores.epochs, parts.open_vectors())
    return WhenChanged(work, parts.stores.matches, state, parts.clock)
