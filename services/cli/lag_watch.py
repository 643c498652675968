"""Derive the services' progress from their consumer lag."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from prometheus_client import Counter

from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import AnnotationStores
from services.app.parts import App
from services.cli.progress import ProgressView
from services.contracts.flow import group_of
from services.contracts.topics import FRAMES, GROUND_TRUTH, PREDICTIONS
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.observability import metrics

Lag = Mapping[tuple[str, str], int]
"""Records that each consumer group has not committed yet, by group and topic."""

_LOOK_EVERY_S = 1.0
_MAX_WAITING = 2000
"""Lag limit for an in-memory broker: far below the 5 MiB per partition that it keeps."""
_EMBEDDER, _MINER = group_of("embedder"), group_of("fp_miner")


class LagWatch:
    """Polls the lag, one request at a time, and updates the progress view."""

    def __init__(self, app: App, view: ProgressView) -> None:
        self._app = app
        self._view = view
        self._needles = AnnotationStores.of(app.stores).needle_lists
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll about once a second while the context is open."""
        left = asyncio.Event()
        task = asyncio.create_task(self._poll(left))
        try:
            yield
        finally:
            # Do not cancel: a request in flight holds a connection that others use next.
            left.set()
            await task

    async def _poll(self, left: asyncio.Event) -> None:
        while not left.is_set():
            await self.look()
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await left.wait()
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Update the view, and return the total lag."""
        async with self._looking:
            lag = await self._app.lag()
        await self.seen(lag)
        return sum(lag.values())

    async def seen(self, lag: Lag) -> None:
        """Update the view from a given lag."""
        published = self._view.progress.published
        embedding = max(lag.get((_EMBEDDER, topic.name), 0) for topic in (FRAMES, PREDICTIONS))
        topics = (FRAMES, PREDICTIONS, GROUND_TRUTH)
        matching = max(lag.get((_MINER, topic.name), 0) for topic in topics)
        self._view.counted(
            lag=sum(lag.values()),
            embedded=max(0, published - embedding),
            matched=max(0, published - matching),
            needles=await self._needles.count(NeedleFilter()),
            shortlists=_total(metrics.SHORTLISTS_PUBLISHED),
            dead_letters=_total(metrics.DEAD_LETTERS),
        )

    async def throttle(self) -> None:
        """Wait while an in-memory broker is too full; it drops records that do not fit."""
        if BrokerAddress.of(self._app.settings).in_memory:
            while await self.look() > _MAX_WAITING:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(_LOOK_EVERY_S / 4)


def _total(counter: Counter) -> int:
    samples = (sample for family in counter.collect() for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))
