"""Store the figures of reports over time, and curves, for the charts of the review page."""

from collections.abc import Mapping, Sequence

from services.annotation.stores.opening import AnnotationStores
from services.contracts.identity import DetectorId
from services.domain.metrics.subsets import Subset
from services.domain.ports.curves import CurveStore
from services.domain.ports.figures import Figures
from services.domain.ports.needles import ReviewProgress
from services.evaluator.reports.gauges import MAX_SLICES
from services.evaluator.reports.match_figures import MatchFigures
from services.evaluator.reports.report import Report
from services.evaluator.samples.report import FIGURES, SampledReport
from services.evaluator.slices import SliceReport
from services.runtime.clock import Clock
from services.runtime.stores.opening import Stores


async def note_figures(stores: Stores, reports: Sequence[Report], clock: Clock) -> None:
    """Store the reports' figures if they changed.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    groups = await AnnotationStores.of(stores).needle_lists.groups()
    for report in reports:
        own = [group for group in groups if group.detector == report.detector]
        await stores.figures.add(
            Figures(
                detector=report.detector,
                at=clock.now(),
                map={subset.value: numbers["AP"] for subset, numbers in report.map.items()},
                found=report.shortlist.found,
                random_yield=report.shortlist.random_yield,
                lift=report.shortlist.lift,
                lowest_yield=report.shortlist.lowest_yield,
                highest_yield=report.shortlist.highest_yield,
                gain=report.shortlist.gain,
                intervals=report.shortlist.intervals | _sampled_intervals(report.sampled),
                sampled=_sampled(report.sampled),
                queue={
                    progress.value: sum(
                        group.work.shortlists for group in own if group.progress is progress
                    )
                    for progress in ReviewProgress
                },
            )
        )


def _sampled(report: SampledReport | None) -> dict[str, float | None]:
    """The estimates by name; none without a report."""
    return {name: getattr(report, name).estimate for name in FIGURES if report is not None}


def _sampled_intervals(report: SampledReport | None) -> dict[str, tuple[float, float]]:
    intervals = {name: getattr(report, name).interval for name in FIGURES if report is not None}
    return {
        f"sampled_{name}": interval for name, interval in intervals.items() if interval is not None
    }


async def note_slice_curves(
    store: CurveStore, figures: MatchFigures, slices: Mapping[DetectorId, Sequence[SliceReport]]
) -> None:
    """Store the curves of each detector's slices with one tag, those that are ranked worst first.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    for detector, ranked in slices.items():
        single = [part for part in ranked if part.and_key is None]
        curves = await figures.slice_curves(detector, single[:MAX_SLICES])
        contents = {name: part.model_dump_json().encode() for name, part in curves.items()}
        await store.show_slices(detector, contents)


async def note_curves(
    store: CurveStore, figures: MatchFigures, detectors: Sequence[DetectorId]
) -> None:
    """Store the curves of these detectors on every subset.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    for detector in detectors:
        for subset in Subset:
            curves = await figures.curves(detector, subset)
            await store.put(detector, subset, curves.model_dump_json().encode())
