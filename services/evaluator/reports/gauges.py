"""Prometheus gauges of the figures that one process shows for all replicas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.contracts.identity import Category, DetectorId
from services.domain.metrics.error_costs import ErrorCosts
from services.evaluator.reports.report import CalibrationReport, Report, ShortlistReport
from services.evaluator.samples.report import FIGURES, Estimate, SampledReport
from services.evaluator.slices import SliceReport
from services.evaluator.versions.report import ComparisonReport
from services.runtime.observability import detector_metrics
from services.runtime.observability.bounded_labels import CATEGORIES, DETECTORS
from services.runtime.observability.gauge_values import clear_all, set_interval, set_or_remove

MAX_SLICES: Final = 30
"""Slices of a detector that have gauges, and curves: those ranked worst."""
_LIFT = {
    "yield": (detector_metrics.SHORTLIST_YIELD, ("shortlist",)),
    "random_yield": (detector_metrics.SHORTLIST_YIELD, ("random",)),
    "lowest_yield": (detector_metrics.SHORTLIST_YIELD, ("lowest_score",)),
    "highest_yield": (detector_metrics.SHORTLIST_YIELD, ("highest_score",)),
    "lift": (detector_metrics.SHORTLIST_LIFT, ("random",)),
    "lift_over_lowest": (detector_metrics.SHORTLIST_LIFT, ("lowest_score",)),
    "lift_over_highest": (detector_metrics.SHORTLIST_LIFT, ("highest_score",)),
    "gain": (detector_metrics.SHORTLIST_GAIN, ()),
}
_SLICE_SHARES = {
    "map": detector_metrics.SLICE_MAP,
    "precision": detector_metrics.SLICE_PRECISION,
    "recall": detector_metrics.SLICE_RECALL,
}
_OF_REPORTS = (
    *{gauge for gauge, _ in _LIFT.values()},
    detector_metrics.SHORTLIST_VERDICTS,
    detector_metrics.SHORTLIST_CALIBRATION_ERROR,
    detector_metrics.SHORTLIST_CALIBRATION_COUNT,
    detector_metrics.HAYSTACK_ESTIMATE,
)
_OF_VERSIONS = (detector_metrics.VERSION_FAMILIES, detector_metrics.VERSION_MAP_DIFFERENCE)
_OF_SLICES = (*_SLICE_SHARES.values(), detector_metrics.SLICE_WORSE)


def clear_figures() -> None:
    """Remove all figures of this module, which another process shows from now on."""
    clear_all((*_OF_REPORTS, detector_metrics.ERROR_COST, *_OF_VERSIONS, *_OF_SLICES))


def show_reports(reports: Iterable[Report]) -> None:
    """Show what shortlists are worth, and estimates from drawn frames; replaces all others."""
    clear_all(_OF_REPORTS)
    for report in reports:
        _show_lift(report.detector, report.shortlist)
        _show_sampled(report.detector, report.sampled)
        _show_calibration(report.detector, report.calibration_by_category)


def _show_lift(detector: DetectorId, report: ShortlistReport) -> None:
    """Show yield, lift and verdicts of a detector's shortlists."""
    name = DETECTORS(detector)
    values = report.model_dump(by_alias=True)
    for key, (gauge, labels) in _LIFT.items():
        set_interval(gauge, values[key], report.intervals.get(key), name, *labels)
    for verdict in ("confirmed", "rejected"):
        set_or_remove(detector_metrics.SHORTLIST_VERDICTS, values[verdict], name, verdict)


def _show_sampled(detector: DetectorId, report: SampledReport | None) -> None:
    """Show the figures of the haystack that are estimated from drawn frames."""
    name = DETECTORS(detector)
    for figure in FIGURES:
        estimate: Estimate | None = getattr(report, figure, None)
        value, interval = (estimate.estimate, estimate.interval) if estimate else (None, None)
        set_interval(detector_metrics.HAYSTACK_ESTIMATE, value, interval, name, figure)


def _show_calibration(detector: DetectorId, reports: Mapping[Category, CalibrationReport]) -> None:
    """Show the calibration error of evidence, by category."""
    name = DETECTORS(detector)
    for category, report in reports.items():
        label = CATEGORIES(category)
        set_or_remove(detector_metrics.SHORTLIST_CALIBRATION_ERROR, report.error, name, label)
        set_or_remove(detector_metrics.SHORTLIST_CALIBRATION_COUNT, report.count, name, label)


def show_error_costs(costs: Mapping[DetectorId, ErrorCosts]) -> None:
    """Show the AP that each error type costs these detectors; replaces all others."""
    detector_metrics.ERROR_COST.clear()
    for detector, found in costs.items():
        name = DETECTORS(detector)
        for error_type, cost in found.costs.items():
            value = None if found.ap50 is None else cost
            set_or_remove(detector_metrics.ERROR_COST, value, name, error_type.value)


def show_version_changes(comparisons: Iterable[ComparisonReport]) -> None:
    """Show how many families of failures each new version fixes and breaks; replaces all others."""
    clear_all(_OF_VERSIONS)
    for found in comparisons:
        names = (DETECTORS(found.new), DETECTORS(found.old))
        for change, count in found.summary.items():
            detector_metrics.VERSION_FAMILIES.labels(*names, change.value).set(count)
        set_interval(
            detector_metrics.VERSION_MAP_DIFFERENCE,
            found.map.difference,
            found.map.interval,
            *names,
        )


def show_slices(slices: Mapping[DetectorId, Sequence[SliceReport]]) -> None:
    """Show the slices of each detector that are ranked worst; these replace all others."""
    clear_all(_OF_SLICES)
    for detector, ranked in slices.items():
        for part in ranked[:MAX_SLICES]:
            names = (DETECTORS(detector), part.name)
            set_or_remove(detector_metrics.SLICE_WORSE, float(part.worse), *names)
            _show_slice_shares(part, names)


def _show_slice_shares(part: SliceReport, names: Sequence[str]) -> None:
    """Show a slice's shares, each with its interval."""
    for key, gauge in _SLICE_SHARES.items():
        set_interval(gauge, getattr(part, key), getattr(part, f"{key}_interval"), *names)
