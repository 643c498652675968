"""The job that computes figures over time and the cost of errors, from all records."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from services.annotation.stores.opening import AnnotationStores
from services.app.figures_noted import note_curves, note_figures, note_slice_curves
from services.app.repair_gains_noted import note_repair_gains
from services.app.repeating import kept_current, recomputed
from services.app.reporting import stored_versions
from services.app.versions_noted import note_comparisons
from services.app.when_changed import WhenChanged, epochs_closed
from services.contracts.identity import DetectorId
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.gauges import (
    clear_figures,
    show_error_costs,
    show_reports,
    show_slices,
    show_version_changes,
)
from services.evaluator.reports.report import Counts, Report
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores

JOB: Final = "figures"
_EVERY_S: Final = 15.0
"""Interval of reading changed records and of computing reports and error costs from them."""
_COMPARE_EVERY_S: Final = 60.0
"""Interval of comparing versions and slices, and of computing what reviewed frames gain."""
_NOTHING_COUNTED: Final = Counts(frames=0, predictions=0, ground_truth=0)
_Work = Callable[[], Awaitable[object]]


class SharedFigures:
    """Computes and stores what one process shows for all replicas.

    Its jobs take turns, as each reads what has changed, and that changes figures read before.
    """

    def __init__(self, stores: Stores, settings: Settings, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._reports = Reports(
            *(stores.matches, stores.needles, settings.operating_scores, clock),
            most_frames=settings.figures_frames,
        )
        self._costs = StoredErrorCosts(
            *(stores.frames, stores.matches, clock),
            count_copies=settings.count_copies,
            redacting=settings.redact_detector,
            most_frames=settings.figures_frames,
        )
        self._versions = stored_versions(stores, settings.operating_scores)
        self._reviews = AnnotationStores.of(stores).reviews
        self._detectors: list[DetectorId] = []
        self._current = WhenChanged(self._computed, stores.matches, self.closed, clock)

    async def closed(self) -> Hashable:
        """The number of each detector's last epoch."""
        return await epochs_closed(self._stores.epochs)

    async def known(self) -> Hashable:
        """The same, and which detectors have a report."""
        return await self.closed(), tuple(self._detectors)

    async def reviewed(self) -> Hashable:
        """The same, and the latest act of review."""
        return await self.known(), tuple(await self._reviews.recent(1))

    async def take_in(self) -> None:
        """Read changed matches."""
        await self._reports.take_in()

    async def note(self) -> None:
        """Show reports, and store their figures if they change, so that the page can draw them."""
        reports = await self._current()
        show_reports(reports)
        await note_figures(self._stores, reports, self._clock)

    async def take_in_costs(self) -> None:
        """Read changed frames for the cost of errors."""
        await self._costs.take_in()

    async def show_costs(self) -> None:
        """Show the AP that errors cost."""
        show_error_costs(await self._costs.now())

    async def compare_versions(self) -> None:
        """Compare consecutive versions of detectors."""
        found = await note_comparisons(self._stores.comparisons, self._versions, self._detectors)
        show_version_changes(found)

    async def compare_slices(self) -> None:
        """Compare the frames of each tag with all others."""
        figures = await self._reports.take_in()
        found = {name: await figures.slices(name) for name in self._detectors}
        show_slices(found)
        await note_slice_curves(self._stores.curves, figures, found)

    async def repair_gains(self) -> None:
        """Store what repairing reviewed frames gains."""
        figures = await self._reports.take_in()
        await note_repair_gains(self._stores, figures, self._detectors)

    async def _computed(self) -> list[Report]:
        reports, figures = await self._reports.now(_NOTHING_COUNTED)
        self._detectors = [report.detector for report in reports]
        await note_curves(self._stores.curves, figures, self._detectors)
        return reports


@asynccontextmanager
async def figures_refreshed(
    stores: Stores, settings: Settings, clock: Clock, turn: asyncio.Lock
) -> AsyncIterator[None]:
    """Keep what one process shows for all replicas up to date while the context is open.

    All of it needs the matches of all categories. An interval becomes longer where the work would
    take more than its share of time, which `kept_current` and `recomputed` set.

    Parameters
    ----------
    turn : as in `recomputed`
    """
    figures = SharedFigures(stores, settings, clock)
    kept = partial(kept_current, clock=clock, turn=turn, every_s=_EVERY_S)
    compared = partial(recomputed, clock=clock, turn=turn, every_s=_COMPARE_EVERY_S)

    def on_change(work: _Work, state: Callable[[], Awaitable[Hashable]]) -> _Work:
        """`work`, left out while neither a match nor the state has changed."""
        return WhenChanged(work, stores.matches, state, clock)

    jobs = (
        kept("note_figures", figures.take_in, figures.note),  # notes the queue on every round
        kept("error_costs", figures.take_in_costs, on_change(figures.show_costs, figures.closed)),
        compared("compare_versions", on_change(figures.compare_versions, figures.known)),
        compared("compare_slices", on_change(figures.compare_slices, figures.known)),
        compared("repair_gains", on_change(figures.repair_gains, figures.reviewed)),
    )
    async with AsyncExitStack() as closing:
        # First, so that it comes after the end of the work, which may still set gauges.
        closing.callback(clear_figures)
        for job in jobs:
            await closing.enter_async_context(job)
        yield
