"""Prometheus gauges of the figures that each evaluator shows of its own categories."""

from collections.abc import Mapping

from services.contracts.identity import DetectorId
from services.domain.metrics.drift import DriftMeasure
from services.domain.metrics.subsets import Subset
from services.evaluator.live.logic import Confidence, Evaluation, RecentMap
from services.runtime.observability import detector_metrics
from services.runtime.observability.bounded_labels import CATEGORIES, DETECTORS
from services.runtime.observability.gauge_values import clear_all, set_interval, set_or_remove

_NAMED = {
    "AP": detector_metrics.MAP,
    "AP50": detector_metrics.MAP_AP50,
    "AP75": detector_metrics.MAP_AP75,
}
_OPERATING = {
    "precision": detector_metrics.OPERATING_PRECISION,
    "recall": detector_metrics.OPERATING_RECALL,
    "f1": detector_metrics.OPERATING_F1,
    "mean_iou": detector_metrics.OPERATING_MEAN_IOU,
    "true_positives": detector_metrics.OPERATING_TRUE_POSITIVES,
}
_COUNTS = {
    "frames": detector_metrics.EVALUATED_FRAMES,
    "detections": detector_metrics.EVALUATED_DETECTIONS,
    "ground_truths": detector_metrics.EVALUATED_GROUND_TRUTHS,
    "defined": detector_metrics.MAP_CATEGORIES,
}
_ALL = (
    *_NAMED.values(),
    *_OPERATING.values(),
    *_COUNTS.values(),
    detector_metrics.CATEGORY_AP,
    detector_metrics.FALSE_POSITIVES,
    detector_metrics.OPERATING_DETECTIONS,
    detector_metrics.MAP_WINDOW,
    detector_metrics.MAP_WINDOW_CATEGORIES,
)
_SLOW = (
    detector_metrics.MAP_BOUND,
    detector_metrics.MAP_DIFFERENCE,
    detector_metrics.VEHICLES_DRIFTING,
    detector_metrics.VEHICLE_DRIFT,
)


class Gauges:
    """Sets gauges, and removes a label set whose figure is undefined instead of showing 0."""

    def clear(self) -> None:
        """Remove all figures."""
        clear_all((*_ALL, *_SLOW))

    def show(self, detector: DetectorId, evaluations: Mapping[Subset, Evaluation]) -> None:
        """Show one detector's figures on every subset."""
        name = DETECTORS(detector)
        for subset, evaluation in evaluations.items():
            for key, gauge in _NAMED.items():
                set_or_remove(gauge, evaluation.numbers[key], name, subset.value)
            for key, gauge in _OPERATING.items():
                set_or_remove(gauge, getattr(evaluation.operating, key), name, subset.value)
            shown = evaluation.operating.true_positives + evaluation.operating.false_positives
            set_or_remove(detector_metrics.OPERATING_DETECTIONS, shown, name, subset.value)
            for key, gauge in _COUNTS.items():
                set_or_remove(gauge, getattr(evaluation, key), name, subset.value)
            for error_type, count in evaluation.operating.errors.items():
                set_or_remove(
                    detector_metrics.FALSE_POSITIVES, count, name, subset.value, error_type.value
                )
            for category, ap in evaluation.categories.items():
                label = CATEGORIES(category)
                set_or_remove(detector_metrics.CATEGORY_AP, ap, name, subset.value, label)

    def show_recent(
        self, detector: DetectorId, maps: Mapping[tuple[Subset, str], RecentMap]
    ) -> None:
        """Show one detector's mAP by subset and window."""
        for (subset, window), recent in maps.items():
            labels = (DETECTORS(detector), subset.value, window)
            set_or_remove(detector_metrics.MAP_WINDOW, recent.ap, *labels)
            set_or_remove(detector_metrics.MAP_WINDOW_CATEGORIES, recent.categories, *labels)

    def show_confidence(self, confidence: Confidence) -> None:
        """Show intervals, differences and drift; these replace all earlier ones."""
        clear_all(_SLOW)
        for (detector, subset), interval in confidence.intervals.items():
            name = DETECTORS(detector)
            for bound in ("low", "high"):
                set_or_remove(
                    detector_metrics.MAP_BOUND, getattr(interval, bound), name, subset.value, bound
                )
        for (new, old), interval in confidence.differences.items():
            names = (DETECTORS(new), DETECTORS(old))
            ends = (interval.low, interval.high)
            set_interval(detector_metrics.MAP_DIFFERENCE, interval.value, ends, *names)
        for detector, drifts in confidence.drifts.items():
            name = DETECTORS(detector)
            for measure in DriftMeasure:
                drifting = [d for d in drifts if d.measure is measure and d.drifts]
                set_or_remove(
                    detector_metrics.VEHICLES_DRIFTING, len(drifting), name, measure.value
                )
                for drift in drifting:
                    set_or_remove(
                        detector_metrics.VEHICLE_DRIFT,
                        drift.effect,
                        name,
                        measure.value,
                        drift.vehicle,
                    )
