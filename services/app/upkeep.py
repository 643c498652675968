"""Ingest's background work on stored data, which one process of all does."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from services.app.categories.rematching import Rematcher
from services.app.elected import elected
from services.app.erasure.eraser import INTERRUPTED, FrameEraser
from services.app.erasure.erasers import eraser_with_services
from services.app.parts import App
from services.app.repeating import repeated
from services.app.retention.sweeper import RetentionSweeper
from services.app.undoing.requesting import undoer_of
from services.domain.ports.category_maps import CategoryMaps, UnknownCategory
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.observability.bounded_labels import DETECTORS
from services.runtime.settings import Settings
from services.runtime.stores.retention_mongo import MongoRetention

_JOB: Final = "upkeep"
_SWEEP_S: Final = 5.0
_UNKNOWN_S: Final = 60.0
_ERASURES_S: Final = 60.0
_RETENTION_S: Final = 60.0
"""The settings limit frames per minute, of erasures too."""
_RECORDS_S: Final = 600.0


async def finish_pending(app: App) -> None:
    """Finish changes of category maps and undos, for a process without ingest's background work.

    Raises
    ------
    Transient
        A store or the broker does not answer; ingest continues.
    """
    if app.lasts:
        stores = app.stores
        await Rematcher(stores.category_maps, stores.frames, app.outbox).sweep()
        await undoer_of(stores, app.outbox).sweep()


async def finish_erasures(
    eraser: Callable[[], FrameEraser], settings: Settings, clock: Clock
) -> int:
    """Go on with erasures that were interrupted; returns the number of frames.

    Raises
    ------
    Transient
        A store or the broker does not answer; the next call continues.
    """
    return await eraser().finish(clock.now() - INTERRUPTED, settings.retention_per_minute)


@asynccontextmanager
async def stored_data_kept(app: App, clock: Clock) -> AsyncIterator[None]:
    """While it is open, finish interrupted erasures, and changes of category maps and undos that
    were interrupted or made on a page; count unknown categories; delete what is too old.
    """
    stores = app.stores
    maps = stores.category_maps

    def eraser() -> FrameEraser:
        return eraser_with_services(stores, app.outbox, app.settings, clock)

    sweeper = RetentionSweeper(
        MongoRetention(stores.database),
        stores.blobs,
        eraser,
        stores.audit,
        settings=app.settings,
        clock=clock,
    )
    works: dict[str, tuple[Callable[[], Awaitable[object]], float]] = {
        "rematch_categories": (Rematcher(maps, stores.frames, app.outbox).sweep, _SWEEP_S),
        "finish_undos": (undoer_of(stores, app.outbox).sweep, _SWEEP_S),
        "finish_erasures": (partial(finish_erasures, eraser, app.settings, clock), _ERASURES_S),
        "erase_unlisted_frames": (sweeper.sweep_frames, _RETENTION_S),
        "delete_old_images": (sweeper.sweep_images, _RETENTION_S),
        "delete_old_records": (sweeper.sweep_records, _RECORDS_S),
    }

    @asynccontextmanager
    async def job() -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            await closing.enter_async_context(unknown_counted(maps, clock))
            for name, (work, every_s) in works.items():
                await closing.enter_async_context(repeated(name, work, clock, every_s=every_s))
            yield

    async with elected(_JOB, stores.leases, job, clock):
        yield


@asynccontextmanager
async def unknown_counted(maps: CategoryMaps, clock: Clock) -> AsyncIterator[None]:
    """Count unknown categories while the context is open; after it, another process does."""

    async def count() -> None:
        note_unknown(await maps.unknown())

    try:
        async with repeated("unknown_categories", count, clock, every_s=_UNKNOWN_S):
            yield
    finally:
        note_unknown(())


def note_unknown(unknown: Sequence[UnknownCategory]) -> None:
    """Show how many categories of each detector are unknown, in place of all others."""
    metrics.UNKNOWN_CATEGORIES.clear()
    for detector, count in Counter(item.detector for item in unknown).items():
        metrics.UNKNOWN_CATEGORIES.labels(DETECTORS(detector)).set(count)
