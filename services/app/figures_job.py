"""The job that computes figures over time and the cost of errors, from all records."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from services.app.figures_noted import note_curves, note_figures
from services.app.repeating import kept_up
from services.app.when_changed import WhenChanged, epochs_closed
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.report import Counts, Report
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores

JOB: Final = "figures"
_EVERY_S: Final = 15.0
"""Interval of recomputing figures from all records; longer if that takes long."""


@asynccontextmanager
async def figures_kept_up(stores: Stores, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Keep figures over time and the cost of errors up to date while the context is open.

    They need the matches of all categories, so one process does this for all replicas.
    """
    nothing_counted = Counts(frames=0, predictions=0, ground_truth=0)
    reports = Reports(stores.matches, stores.needles, settings.operating_score, clock)
    closed = partial(epochs_closed, stores.epochs)
    copies = settings.count_copies
    costs = StoredErrorCosts(stores.frames, stores.matches, clock, count_copies=copies)

    async def computed() -> list[Report]:
        found = await reports.now(nothing_counted)
        await note_curves(stores.curves, reports, [report.detector for report in found])
        return found

    current_reports = WhenChanged(computed, stores.matches, closed, clock)

    async def note() -> None:
        """Store figures when they change, so that the page can draw them over time."""
        await note_figures(stores, await current_reports(), clock)

    show = WhenChanged(costs.show, stores.matches, closed, clock)
    async with AsyncExitStack() as closing:
        closing.callback(metrics.ERROR_COST.clear)  # last: another process shows it then
        for name, take_in, show_ in (
            ("note_figures", reports.take_in, note),
            ("error_costs", costs.take_in, show),
        ):
            await closing.enter_async_context(
                kept_up(name, take_in, show_, clock, every_s=_EVERY_S)
            )
        # Another process shows these from now on.
        closing.callback(metrics.ERROR_COST.clear)
        yield
