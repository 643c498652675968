"""Prometheus gauges of the evaluator's figures."""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Gauge

from services.contracts.identity import Category, DetectorId
from services.domain.metrics.drift import DriftMeasure
from services.domain.metrics.error_costs import ErrorCosts
from services.domain.metrics.subsets import Subset
from services.evaluator.live.logic import Confidence, Evaluation, order_holds
from services.evaluator.reports.report import CalibrationReport, ShortlistReport
from services.evaluator.samples.report import FIGURES, Estimate, SampledReport
from services.evaluator.slices import SliceReport
from services.evaluator.versions.report import ComparisonReport
from services.runtime.observability import metrics

_NAMED = {"AP": metrics.MAP, "AP50": metrics.MAP_AP50, "AP75": metrics.MAP_AP75}
_OPERATING = {
    "precision": metrics.OPERATING_PRECISION,
    "recall": metrics.OPERATING_RECALL,
    "f1": metrics.OPERATING_F1,
    "mean_iou": metrics.OPERATING_MEAN_IOU,
}
_COUNTS = {
    "frames": metrics.EVALUATED_FRAMES,
    "detections": metrics.EVALUATED_DETECTIONS,
    "ground_truths": metrics.EVALUATED_GROUND_TRUTHS,
}
_ALL = (
    *_NAMED.values(),
    *_OPERATING.values(),
    *_COUNTS.values(),
    metrics.CATEGORY_AP,
    metrics.FALSE_POSITIVES,
    metrics.ORDER_HOLDS,
    metrics.MAP_WINDOW,
)
_SLOW = (
    metrics.MAP_BOUND,
    metrics.MAP_DIFFERENCE,
    metrics.VEHICLES_DRIFTING,
    metrics.VEHICLE_DRIFT,
)


class Gauges:
    """Sets gauges, and removes a label set whose figure is undefined instead of showing 0."""

    def clear(self) -> None:
        """Remove all figures."""
        for gauge in (*_ALL, *_SLOW):
            gauge.clear()

    def show(self, detector: DetectorId, evaluations: Mapping[Subset, Evaluation]) -> None:
        """Show one detector's figures on every subset."""
        name = metrics.DETECTORS(detector)
        for subset, evaluation in evaluations.items():
            for key, gauge in _NAMED.items():
                _set(gauge, evaluation.numbers[key], name, subset.value)
            for key, gauge in _OPERATING.items():
                _set(gauge, getattr(evaluation.operating, key), name, subset.value)
            for key, gauge in _COUNTS.items():
                _set(gauge, getattr(evaluation, key), name, subset.value)
            for error_type, count in evaluation.operating.errors.items():
                _set(metrics.FALSE_POSITIVES, count, name, subset.value, error_type.value)
            for category, ap in evaluation.categories.items():
                label = metrics.CATEGORIES(category)
                _set(metrics.CATEGORY_AP, ap, name, subset.value, label)
        order = order_holds(
            {subset: evaluation.numbers["AP"] for subset, evaluation in evaluations.items()}
        )
        _set(metrics.ORDER_HOLDS, order, name)

    def show_recent(
        self, detector: DetectorId, maps: Mapping[tuple[Subset, str], float | None]
    ) -> None:
        """Show one detector's mAP by subset and window."""
        for (subset, window), ap in maps.items():
            _set(metrics.MAP_WINDOW, ap, metrics.DETECTORS(detector), subset.value, window)

    def show_confidence(self, confidence: Confidence) -> None:
        """Show intervals, differences and drift; these replace all earlier ones."""
        for gauge in _SLOW:
            gauge.clear()
        for (detector, subset), interval in confidence.intervals.items():
            name = metrics.DETECTORS(detector)
            for bound in ("low", "high"):
                _set(metrics.MAP_BOUND, getattr(interval, bound), name, subset.value, bound)
        for (new, old), interval in confidence.differences.items():
            names = (metrics.DETECTORS(new), metrics.DETECTORS(old))
            for bound in ("value", "low", "high"):
                _set(metrics.MAP_DIFFERENCE, getattr(interval, bound), *names, bound)
        for detector, drifts in confidence.drifts.items():
            name = metrics.DETECTORS(detector)
            for measure in DriftMeasure:
                drifting = [d for d in drifts if d.measure is measure and d.drifts]
                _set(metrics.VEHICLES_DRIFTING, len(drifting), name, measure.value)
                for drift in drifting:
                    _set(metrics.VEHICLE_DRIFT, drift.effect, name, measure.value, drift.vehicle)


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


def show_lift(detector: DetectorId, report: ShortlistReport) -> None:
    """Show yield, lift and verdicts of a detector's shortlists."""
    name = metrics.DETECTORS(detector)
    values = report.model_dump(by_alias=True)
    for key, (gauge, labels) in _LIFT.items():
        low, high = report.intervals.get(key, (None, None))
        for bound, value in (("value", values[key]), ("low", low), ("high", high)):
            _set(gauge, value, name, *labels, bound)
    for verdict in ("confirmed", "rejected"):
        _set(metrics.SHORTLIST_VERDICTS, values[verdict], name, verdict)


def show_sampled(detector: DetectorId, report: SampledReport | None) -> None:
    """Show the figures of the haystack that are estimated from drawn frames."""
    name = metrics.DETECTORS(detector)
    for figure in FIGURES:
        estimate: Estimate | None = getattr(report, figure, None)
        value = None if estimate is None else estimate.estimate
        low, high = (None if estimate is None else estimate.interval) or (None, None)
        values = {"value": value, "low": low, "high": high}
        for bound, shown in values.items():
            _set(metrics.HAYSTACK_ESTIMATE, shown, name, figure, bound)


def show_error_costs(detector: DetectorId, costs: ErrorCosts) -> None:
    """Show the AP that each error type costs a detector."""
    name = metrics.DETECTORS(detector)
    for error_type, cost in costs.costs.items():
        _set(metrics.ERROR_COST, None if costs.ap50 is None else cost, name, error_type.value)


def show_version_changes(comparisons: Sequence[ComparisonReport]) -> None:
    """Show how many families of failures each new version fixes and breaks; replaces all others."""
    metrics.VERSION_FAMILIES.clear()
    metrics.VERSION_MAP_DIFFERENCE.clear()
    for found in comparisons:
        names = (metrics.DETECTORS(found.new), metrics.DETECTORS(found.old))
        for change, count in found.summary.items():
            metrics.VERSION_FAMILIES.labels(*names, change.value).set(count)
        low, high = found.map.interval or (None, None)
        for bound, value in (("value", found.map.difference), ("low", low), ("high", high)):
            _set(metrics.VERSION_MAP_DIFFERENCE, value, *names, bound)


MOST_SLICES: Final = 30
"""Slices of a detector that have gauges, and curves: those ranked worst."""
_SLICE_SHARES = {
    "map": metrics.SLICE_MAP,
    "precision": metrics.SLICE_PRECISION,
    "recall": metrics.SLICE_RECALL,
}
_SLICE_GAUGES = (*_SLICE_SHARES.values(), metrics.SLICE_WORSE)


def show_slices(slices: Mapping[DetectorId, Sequence[SliceReport]]) -> None:
    """Show the slices of each detector that are ranked worst; these replace all others."""
    for gauge in _SLICE_GAUGES:
        gauge.clear()
    for detector, ranked in slices.items():
        for part in ranked[:MOST_SLICES]:
            names = (metrics.DETECTORS(detector), part.name)
            _set(metrics.SLICE_WORSE, float(part.worse), *names)
            _set_slice_shares(part, names)


def _set_slice_shares(part: SliceReport, names: Sequence[str]) -> None:
    """Set a slice's shares, each with its interval."""
    for key, gauge in _SLICE_SHARES.items():
        low, high = getattr(part, f"{key}_interval") or (None, None)
        for bound, value in (("value", getattr(part, key)), ("low", low), ("high", high)):
            _set(gauge, value, *names, bound)


def show_calibration(detector: DetectorId, reports: Mapping[Category, CalibrationReport]) -> None:
    """Show the calibration error of evidence, by category."""
    name = metrics.DETECTORS(detector)
    for category, report in reports.items():
        label = metrics.CATEGORIES(category)
        _set(metrics.SHORTLIST_CALIBRATION_ERROR, report.error, name, label)
        _set(metrics.SHORTLIST_CALIBRATION_COUNT, report.count, name, label)


_OF_REPORTS = (
    *{gauge for gauge, _ in _LIFT.values()},
    metrics.SHORTLIST_VERDICTS,
    metrics.SHORTLIST_CALIBRATION_ERROR,
    metrics.SHORTLIST_CALIBRATION_COUNT,
    metrics.HAYSTACK_ESTIMATE,
    metrics.ERROR_COST,
    metrics.VERSION_FAMILIES,
    metrics.VERSION_MAP_DIFFERENCE,
    *_SLICE_GAUGES,
)


def clear_reports() -> None:
    """Remove all figures of reports, which another process shows from now on."""
    for gauge in _OF_REPORTS:
        gauge.clear()


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    if value is not None:
        gauge.labels(*labels).set(value)
        return
    try:
        gauge.remove(*labels)
    except KeyError:  # it was not shown before either
        return
