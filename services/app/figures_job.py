"""The job that computes figures over time and the cost of errors, from all records."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
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
"""Interval of recomputing figures from all records; longer if that takes long."""
_COMPARE_EVERY_S: Final = 60.0
"""The same of comparing slices and versions, and of what reviewed frames gain."""
_NOTHING_COUNTED: Final = Counts(frames=0, predictions=0, ground_truth=0)


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
        self._versions = stored_versions(stores, settings.operating_scores)
        self._reviews = AnnotationStores.of(stores).reviews
        self._detectors: set[DetectorId] = set()
        self._current = WhenChanged(self._computed, stores.matches, self.closed, clock)

    async def closed(self) -> Hashable:
        """The number of each detector's last epoch."""
        return await epochs_closed(self._stores.epochs)

    async def known(self) -> Hashable:
        """The same, and how many detectors have a report."""
        return await self.closed(), len(self._detectors)

    async def reviewed(self) -> Hashable:
        """The same, and the latest act of review."""
        return await self.known(), tuple(await self._reviews.recent(1))

    async def take_in(self) -> None:
        """Read changed matches."""
        await self._reports.take_in()

    async def note(self) -> None:
        """Store figures when they change, so that the page can draw them over time."""
        reports = await self._current()
        show_reports(reports)
        await note_figures(self._stores, reports, self._clock)

    async def compare_versions(self) -> None:
        """Compare consecutive versions of detectors."""
        detectors = sorted(self._detectors)
        show_version_changes(
            await note_comparisons(self._stores.comparisons, self._versions, detectors)
        )

    async def compare_slices(self) -> None:
        """Compare the frames of each tag with all others."""
        figures = await self._reports.take_in()
        found = {name: await figures.slices(name) for name in self._detectors}
        show_slices(found)
        await note_slice_curves(self._stores.curves, figures, found)

    async def repair_gains(self) -> None:
        """Store what repairing reviewed frames gains."""
        figures = await self._reports.take_in()
        await note_repair_gains(self._stores, figures, sorted(self._detectors))

    async def _computed(self) -> list[Report]:
        reports, figures = await self._reports.now(_NOTHING_COUNTED)
        names = [report.detector for report in reports]
        self._detectors.update(names)
        await note_curves(self._stores.curves, figures, names)
        return reports


@asynccontextmanager
async def figures_refreshed(
    stores: Stores, settings: Settings, clock: Clock, turn: asyncio.Lock
) -> AsyncIterator[None]:
    """Keep figures over time and the cost of errors up to date while the context is open.

    They need the matches of all categories, so one process does this for all replicas.

    Parameters
    ----------
    turn : as in `recomputed`
    """
    figures = SharedFigures(stores, settings, clock)
    costs = StoredErrorCosts(
        *(stores.frames, stores.matches, clock),
        count_copies=settings.count_copies,
        redacting=settings.redact_detector,
        most_frames=settings.figures_frames,
    )

    async def show_costs() -> None:
        show_error_costs(await costs.now())

    costs_shown = WhenChanged(show_costs, stores.matches, figures.closed, clock)
    async with AsyncExitStack() as closing:
        # First, so that it comes after the end of the work, which may still set gauges.
        closing.callback(clear_figures)
        for name, take_in, show_ in (
            ("note_figures", figures.take_in, figures.note),
            ("error_costs", costs.take_in, costs_shown),
        ):
            await closing.enter_async_context(
                kept_current(name, take_in, show_, clock, turn, every_s=_EVERY_S)
            )
        for name, work, changed in (
            ("compare_versions", figures.compare_versions, figures.known),
            ("compare_slices", figures.compare_slices, figures.known),
            ("repair_gains", figures.repair_gains, figures.reviewed),
        ):
            when_changed = WhenChanged(work, stores.matches, changed, clock)
            await closing.enter_async_context(
                recomputed(name, when_changed, clock, turn, every_s=_COMPARE_EVERY_S)
            )
        yield
