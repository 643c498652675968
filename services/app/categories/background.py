"""Ingest's background work on category maps, in one process of all."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from services.app.categories.rematching import Rematcher
from services.app.elected import elected
from services.app.parts import App
from services.app.repeating import repeated
from services.domain.ports.category_maps import UnknownCategory
from services.runtime.clock import Clock
from services.runtime.observability import metrics

_JOB: Final = "category_maps"
_REMATCH_S: Final = 5.0
_UNKNOWN_S: Final = 60.0


@asynccontextmanager
async def categories_followed(app: App, clock: Clock) -> AsyncIterator[None]:
    """Match frames again whose map changed, and count unknown categories, while it is open."""
    maps = app.stores.category_maps
    rematcher = Rematcher(maps, app.stores.frames, app.outbox)

    async def count() -> None:
        note_unknown(await maps.unknown())

    @asynccontextmanager
    async def job() -> AsyncIterator[None]:
        rematching = repeated("rematch_categories", rematcher.sweep, clock, every_s=_REMATCH_S)
        async with rematching, repeated("unknown_categories", count, clock, every_s=_UNKNOWN_S):
            yield

    async with elected(_JOB, app.stores.leases, job, clock):
        yield


def note_unknown(unknown: Sequence[UnknownCategory]) -> None:
    """Set the gauge of unknown categories."""
    metrics.UNKNOWN_CATEGORIES.clear()
    for detector, count in Counter(item.detector for item in unknown).items():
        metrics.UNKNOWN_CATEGORIES.labels(metrics.DETECTORS(detector)).set(count)
