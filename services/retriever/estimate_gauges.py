"""Prometheus gauges of precision without ground truth."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge

from services.contracts.identity import DetectorId
from services.domain.metrics.estimated_precision import EstimatedStream
from services.domain.statistics.resampling import Interval
from services.runtime.observability import metrics

_GAUGES: Final = (
    metrics.ESTIMATED_PRECISION,
    metrics.REFERENCE_PRECISION,
    metrics.EMBEDDING_DRIFT,
)


def clear_estimates() -> None:
    """Remove all estimates: another process shows them."""
    for gauge in _GAUGES:
        gauge.clear()


def show_estimates(estimates: Mapping[DetectorId, EstimatedStream]) -> None:
    """Show these estimates in place of all others."""
    clear_estimates()
    for detector, found in estimates.items():
        name = metrics.DETECTORS(detector)
        _show(metrics.REFERENCE_PRECISION, found.reference, name)
        for part in found.slices:
            if part.precision is not None:
                metrics.ESTIMATED_PRECISION.labels(name, part.name, "value").set(part.precision)
            _show(metrics.ESTIMATED_PRECISION, part.interval, name, part.name)
            _show(metrics.EMBEDDING_DRIFT, part.drift, name, part.name)


def _show(gauge: Gauge, interval: Interval | None, *labels: str) -> None:
    if interval is None:
        return
    for bound in ("value", "low", "high"):
        gauge.labels(*labels, bound).set(getattr(interval, bound))
