"""The job that computes figures over time and the cost of errors, from all records."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from services.app.figures_noted import note_curves, note_figures
from services.app.repeating import kept_up, repeated
from services.app.reporting import stored_versions
from services.app.versions_noted import note_comparisons
from services.app.when_changed import WhenChanged, epochs_closed
from services.contracts.identity import DetectorId
from services.evaluator.live.gauges import SLICE_GAUGES, show_slices
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
_SLICES_EVERY_S: Final = 60.0
_SLICES_SHARE: Final = 0.02
_COMPARE_EVERY_S: Final = 60.0
_COMPARE_SHARE: Final = 0.02
"""Pace of comparing versions, which reads the matches of both on reference frames."""


@asynccontextmanager
async def figures_kept_up(stores: Stores, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Keep figures over time and the cost of errors up to date while the context is open.

    They need the matches of all categories, so one process does this for all replicas.
    """
    nothing_counted = Counts(frames=0, predictions=0, ground_truth=0)
    most = settings.figures_frames
    reports = Reports(
        stores.matches, stores.needles, settings.operating_score, clock, most_frames=most
    )
    closed = partial(epochs_closed, stores.epochs)
    copies = settings.count_copies
    costs = StoredErrorCosts(
        stores.frames, stores.matches, clock, count_copies=copies, most_frames=most
    )
    versions = stored_versions(stores, settings.operating_score)
    detectors: set[DetectorId] = set()
    reading = asyncio.Lock()
    """Reports are read and extended by one task at a time."""

    async def read_reports() -> None:
        async with reading:
            await reports.take_in()

    async def computed() -> list[Report]:
        async with reading:
            found = await reports.now(nothing_counted)
            detectors.update(report.detector for report in found)
            await note_curves(stores.curves, reports, [report.detector for report in found])
        return found

    async def compare_slices() -> None:
        async with reading:
            show_slices({detector: await reports.slices(detector) for detector in detectors})

    current_reports = WhenChanged(computed, stores.matches, closed, clock)

    async def note() -> None:
        """Store figures when they change, so that the page can draw them over time."""
        await note_figures(stores, await current_reports(), clock)

    async def compare() -> None:
        await note_comparisons(stores.comparisons, versions, sorted(detectors))

    async def compared_of() -> Hashable:
        return await closed(), len(detectors)

    slicing = WhenChanged(compare_slices, stores.matches, compared_of, clock)
    comparing = WhenChanged(compare, stores.matches, compared_of, clock)
    show = WhenChanged(costs.show, stores.matches, closed, clock)
    async with AsyncExitStack() as closing:
        closing.callback(metrics.ERROR_COST.clear)  # last: another process shows it then
        for name, take_in, show_ in (
            ("note_figures", read_reports, note),
            ("error_costs", costs.take_in, show),
        ):
            await closing.enter_async_context(
                kept_up(name, take_in, show_, clock, every_s=_EVERY_S)
            )
        await closing.enter_async_context(
            repeated(
                *("compare_versions", comparing, clock),
                every_s=_COMPARE_EVERY_S,
                share=_COMPARE_SHARE,
            )
        )
        await closing.enter_async_context(
            repeated(
                *("compare_slices", slicing, clock), every_s=_SLICES_EVERY_S, share=_SLICES_SHARE
            )
        )
        # Another process shows these from now on.
        for gauge in (
            metrics.ERROR_COST,
            metrics.VERSION_FAMILIES,
            metrics.VERSION_MAP_DIFFERENCE,
            *SLICE_GAUGES,
        ):
            closing.callback(gauge.clear)
        yield
