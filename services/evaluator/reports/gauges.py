"""Prometheus gauges of the figures that one process shows for all replicas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.contracts.identity import Category, DetectorId
from services.domain.metrics.error_costs import ErrorCosts
from services.evaluator.reports.report import CalibrationReport, Report, ShortlistReport
from services.evaluator.samples.report import FIGURES, Estimate, SampledReport
from services.evaluator.slices import SliceReport
from services.evaluator.versions.report import ComparisonReport
from services.runtime.observability import metrics
from services.runtime.observability.gauge_values import clear_all, set_interval, set_or_remove

MOST_SLICES: Final = 30
"""Slices of a detector that have gauges, and curves: those ranked worst."""
_LIFT = {
    "yield": (metrics.SHORTLIST_YIELD, ("shortlist",)),
    "random_yield": (metrics.SHORTLIST_YIELD, ("random",)),
    "lowest_yield": (metrics.SHORTLIST_YIELD, ("lowest_score",)),
    "highest_yield": (metrics.SHORTLIST_YIELD, ("highest_score",)),
    "lift": (metrics.SHORTLIST_LIFT, ("random",)),
    "lift_over_lowest": (metrics.SHORTLIST_LIFT, ("lowest_score",)),
    "lift_over_highest": (metrics.SHORTLIST_LIFT, ("highest_score",)),
    "gain": (metrics.SHORTLIST_GAIN, ()),
}
_SLICE_SHARES = {
    "map": metrics.SLICE_MAP,
    "precision": metrics.SLICE_PRECISION,
    "recall": metrics.SLICE_RECALL,
}
_OF_REPORTS = (
    *{gauge for gauge, _ in _LIFT.values()},
    metrics.SHORTLIST_VERDICTS,
    metrics.SHORTLIST_CALIBRATION_ERROR,
    metrics.SHORTLIST_CALIBRATION_COUNT,
    metrics.HAYSTACK_ESTIMATE,
)
_OF_VERSIONS = (metrics.VERSION_FAMILIES, metrics.VERSION_MAP_DIFFERENCE)
_OF_SLICES = (*_SLICE_SHARES.values(), metrics.SLICE_WORSE)


def clear_figures() -> None:
    """Remove all figures of this module, which another process shows from now on."""
    clear_all((*_OF_REPORTS, metrics.ERROR_COST, *_OF_VERSIONS, *_OF_SLICES))


def show_reports(reports: Iterable[Report]) -> None:
    """Show what shortlists are worth, and estimates from drawn frames; replaces all others."""
    clear_all(_OF_REPORTS)
    for report in reports:
        _show_lift(report.detector, report.shortlist)
        _show_sampled(report.detector, report.sampled)
        _show_calibration(report.detector, report.calibration_by_category)


def _show_lift(detector: DetectorId, report: ShortlistReport) -> None:
    """Show yield, lift and verdicts of a detector's shortlists."""
    name = metrics.DETECTORS(detector)
    values = report.model_dump(by_alias=True)
    for key, (gauge, labels) in _LIFT.items():
        set_interval(gauge, values[key], report.intervals.get(key), name, *labels)
    for verdict in ("confirmed", "rejected"):
        set_or_remove(metrics.SHORTLIST_VERDICTS, values[verdict], name, verdict)


def _show_sampled(detector: DetectorId, report: SampledReport | None) -> None:
    """Show the figures of the haystack that are estimated from drawn frames."""
    name = metrics.DETECTORS(detector)
    for figure in FIGURES:
        estimate: Estimate | None = getattr(report, figure, None)
        value, interval = (estimate.estimate, estimate.interval) if estimate else (None, None)
        set_interval(metrics.HAYSTACK_ESTIMATE, value, interval, name, figure)


def _show_calibration(detector: DetectorId, reports: Mapping[Category, CalibrationReport]) -> None:
    """Show the calibration error of evidence, by category."""
    name = metrics.DETECTORS(detector)
    for category, report in reports.items():
        label = metrics.CATEGORIES(category)
        set_or_remove(metrics.SHORTLIST_CALIBRATION_ERROR, report.error, name, label)
        set_or_remove(metrics.SHORTLIST_CALIBRATION_COUNT, report.count, name, label)


def show_error_costs(costs: Mapping[DetectorId, ErrorCosts]) -> None:
    """Show the AP that each error type costs these detectors; replaces all others."""
    metrics.ERROR_COST.clear()
    for detector, found in costs.items():
        name = metrics.DETECTORS(detector)
        for error_type, cost in found.costs.items():
            value = None if found.ap50 is None else cost
            set_or_remove(metrics.ERROR_COST, value, name, error_type.value)


def show_version_changes(comparisons: Iterable[ComparisonReport]) -> None:
    """Show how many families of failures each new version fixes and breaks; replaces all others."""
    clear_all(_OF_VERSIONS)
    for found in comparisons:
        names = (metrics.DETECTORS(found.new), metrics.DETECTORS(found.old))
        for change, count in found.summary.items():
            metrics.VERSION_FAMILIES.labels(*names, change.value).set(count)
        set_interval(
            metrics.VERSION_MAP_DIFFERENCE, found.map.difference, found.map.interval, *names
        )


def show_slices(slices: Mapping[DetectorId, Sequence[SliceReport]]) -> None:
    """Show the slices of each detector that are ranked worst; these replace all others."""
    clear_all(_OF_SLICES)
    for detector, ranked in slices.items():
        for part in ranked[:MOST_SLICES]:
            names = (metrics.DETECTORS(detector), part.name)
            set_or_remove(metrics.SLICE_WORSE, float(part.worse), *names)
            _show_slice_shares(part, names)


def _show_slice_shares(part: SliceReport, names: Sequence[str]) -> None:
    """Show a slice's shares, each with its interval."""
    for key, gauge in _SLICE_SHARES.items():
        set_interval(gauge, getattr(part, key), getattr(part, f"{key}_interval"), *names)
