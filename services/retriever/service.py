"""retriever: keeps every needle's shortlist up to date with the haystack and what is annotated."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import structlog

from services.contracts.events import Event
from services.contracts.identity import DetectorId, FrameHash
from services.domain.ports.budget_reports import BudgetReport
from services.domain.shortlists.epochs import WINDOW, Epoch, Size, next_epoch
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.budgets import show_budgets
from services.retriever.awaited_needles import AwaitedNeedles
from services.retriever.detectors import LoadedDetectors
from services.retriever.intake import Intake
from services.retriever.learning.fitted_models import FittedModels
from services.retriever.loading import StagesLoader
from services.retriever.publication import ShortlistPublication
from services.retriever.sources import RetrieverStores, Sources
from services.retriever.stages import Changes
from services.runtime.clock import Clock
from services.runtime.consumed import consumed_offsets, place_of
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.step import Outbox

log = structlog.get_logger()

_BLOCKED_S = 2.0
"""A call of `settle_when_due` that comes later than this and an epoch was held up."""


class PublishShortlists:
    """Closes an epoch with every batch, and publishes the shortlists that it changes.

    Needles, haystack regions and annotated frames arrive in any order; each is stored before its
    event. A batch's offsets are committed after its epoch is recorded and its shortlists are
    acknowledged, so no epoch depends on unrecorded state.

    An epoch is recorded once per detector, by compare-and-swap on its number. A process that finds
    its number taken reads that detector's state again and closes the next one.
    """

    def __init__(
        self, stores: RetrieverStores, *, outbox: Outbox, settings: Settings, clock: Clock
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._clock = clock
        self._sources = sources = Sources.of(stores, settings)
        self._models = FittedModels(
            sources.frames, sources.matches, sources.vectors, stores.models, settings
        )
        self._awaited = AwaitedNeedles()
        self._intake = Intake(stores.needles, sources, self._awaited)
        self._publication = ShortlistPublication(
            stores.needles, sources.needles, outbox, self._awaited, clock
        )
        loader = StagesLoader(stores, sources, self._models)
        self._detectors = LoadedDetectors(stores, sources, loader, self._publication)
        self._reported: list[BudgetReport] | None = None
        self._quiet_s = 0.0
        """How long no epoch has been closed."""
        self._ticked_at = clock.monotonic()
        self._lock = asyncio.Lock()
        """Batches and the closing of epochs without events take turns."""

    async def run(self, events: Sequence[Event]) -> None:
        async with self._forgetting_on_error():
            changes = await self._intake.take(await self._not_consumed(events))
            await self._close_epochs(changes, consumed_offsets())

    async def _not_consumed(self, events: Sequence[Event]) -> list[Event]:
        """Those of these events that a detector's recorded epochs have not consumed yet.

        After a process has ended, the others may be given its last events together with later ones.
        """
        latest = (await self._stores.epochs.latest()).values()
        return [
            event
            for event in events
            if not latest or any(not _has_consumed(last, event) for last in latest)
        ]

    async def forget(self, _: AbstractSet[FrameHash]) -> None:
        """Drop all state in memory: an erased frame may be an example, a candidate or a needle.

        The next epoch reads the stores again, and fits the models again.
        """
        async with self._lock:
            self._detectors.mark_outdated()
            self._sources.vectors.forget_all()
            await self._models.forget_all()
            await self._stores.epochs.forget_changes()

    async def settle(self) -> bool:
        """Close an epoch without events if frames wait to be listed; returns whether they did."""
        async with self._forgetting_on_error():
            listed = await self._list_held()
        if listed:
            await self.report_budgets()
        return listed

    async def settle_when_due(self) -> None:
        """Like `settle`, but only when no events have arrived for a while.

        Call this periodically, several times per epoch.
        """
        now = self._clock.monotonic()
        # Time in which the process was blocked does not count: events may have waited for it.
        self._quiet_s += min(now - self._ticked_at, max(self._settings.epoch_s, _BLOCKED_S))
        self._ticked_at = now
        if not self._is_quiet():
            return
        async with self._forgetting_on_error():
            if self._detectors.is_read and await self._detectors.follow():
                self._quiet_s = 0.0  # another process has closed an epoch
            # A batch may have been processed meanwhile.
            listed = self._is_quiet() and await self._list_held()
        if listed:
            await self.report_budgets()

    def _is_quiet(self) -> bool:
        # As long as the window within which growth is measured: for less, a stage may be behind.
        return self._quiet_s >= WINDOW * self._settings.epoch_s

    async def _list_held(self) -> bool:
        detectors = self._detectors
        if detectors.is_read:
            await detectors.follow()
        else:
            await detectors.load(())
            await self._publication.publish()
        if not detectors.held():
            return False
        # Count again: frames that were embedded during the last count are in it twice.
        self._sources.size.forget()
        await self._close_epochs(Changes((), {}, is_empty=True), {})
        return True

    async def report_budgets(self) -> None:
        """Publish how much of the budgets is spent and which frames they hold back, on a change.

        Call this periodically.
        """
        async with self._lock:
            detectors = sorted(self._detectors.stages.items())
            reports = [await stages.allocator.report() for _, stages in detectors]
        if not reports or reports == self._reported:
            return
        await self._stores.budgets.show(reports)
        self._reported = reports
        show_budgets(reports)

    @asynccontextmanager
    async def _forgetting_on_error(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            except BaseException:
                # The state in memory may not be recorded, so read what is recorded.
                self._detectors.forget()
                raise

    async def _close_epochs(self, changes: Changes, consumed: Mapping[str, range]) -> None:
        """Close an epoch of each detector, then publish the shortlists that change."""
        started, detectors = self._clock.monotonic(), self._detectors
        frames, limits = await detectors.load(changes.records)
        for detector in sorted(detectors.stages):
            changes_of = changes.of(detector)
            while not await self._close(detector, changes_of, consumed, frames, limits):
                await detectors.follow()
                if changes.is_empty:
                    break  # Another process has closed an epoch: events did arrive.
        self._quiet_s = 0.0
        # Again: another process may have listed for them before these epochs.
        await self._publication.withdraw(changes.records)
        await self._publication.publish()
        if detectors.model is not None:
            allocators = [stages.allocator for stages in detectors.stages.values()]
            waiting = {needle for allocator in allocators for needle in allocator.needles.waiting}
            self._awaited.forget_unlisted(waiting, detectors.held())
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    async def _close(
        self,
        detector: DetectorId,
        changes: Changes,
        consumed: Mapping[str, range],
        frames: int,
        limits: Limits,
    ) -> bool:
        """Close an epoch of one detector; False if another process has closed its number.

        Parameters
        ----------
        frames : the number of haystack frames
        """
        detectors = self._detectors
        if detectors.is_again(detector, consumed):
            return True
        observed = detectors.stages[detector].observed.values()
        before = detectors.epochs.get(detector)
        size = Size(frames, sum(observed) + sum(changes.observed.values()))
        budget = limits.budgets.haystack
        epoch = next_epoch(before, detector, consumed, size, budget, is_empty=changes.is_empty)
        await detectors.read_again_if_due(epoch, limits, changes.records)
        closed = await detectors.stages[detector].close(
            changes, limits, before, epoch, self._settings.shortlist_early
        )
        if not await self._stores.epochs.close(closed.epoch, closed.changes):
            log.info("epoch_taken", detector=detector, epoch=epoch.number)
            return False
        detectors.note_closed(closed.epoch)
        await self._publication.write(closed.shortlists)
        return True


def _has_consumed(epoch: Epoch, event: Event) -> bool:
    place = place_of(event)
    return place is not None and epoch.has_consumed(*place)
