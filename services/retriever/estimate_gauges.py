"""Prometheus gauges of precision without ground truth."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge

from services.contracts.identity import DetectorId
from services.domain.metrics.estimated_precision import EstimatedStream
from services.domain.statistics.resampling import Interval
from services.runtime.observability import detector_metrics
from services.runtime.observability.bounded_labels import DETECTORS
from services.runtime.observability.gauge_values import clear_all, set_interval

_GAUGES: Final = (
    detector_metrics.ESTIMATED_PRECISION,
    detector_metrics.REFERENCE_PRECISION,
    detector_metrics.EMBEDDING_DRIFT,
)


def clear_estimates() -> None:
    """Remove all estimates: another process shows them."""
    clear_all(_GAUGES)


def show_estimates(estimates: Mapping[DetectorId, EstimatedStream]) -> None:
    """Show these estimates in place of all others."""
    clear_estimates()
    for detector, found in estimates.items():
        name = DETECTORS(detector)
        _show(detector_metrics.REFERENCE_PRECISION, found.reference, name)
        for part in found.slices:
            ends = _ends(part.interval)
            set_interval(
                detector_metrics.ESTIMATED_PRECISION, part.precision, ends, name, part.name
            )
            _show(detector_metrics.EMBEDDING_DRIFT, part.drift, name, part.name)


def _show(gauge: Gauge, interval: Interval | None, *labels: str) -> None:
    set_interval(gauge, interval.value if interval else None, _ends(interval), *labels)


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval is not None else None
