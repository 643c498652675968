"""Set gauges of figures that may be undefined."""

from collections.abc import Iterable

from prometheus_client import Gauge


def clear_all(gauges: Iterable[Gauge]) -> None:
    """Remove all label sets of these gauges."""
    for gauge in gauges:
        gauge.clear()


def set_or_remove(gauge: Gauge, value: float | None, *labels: str) -> None:
    """Set the gauge at these labels; remove them if the value is undefined, as 0 would be wrong."""
    if value is not None:
        gauge.labels(*labels).set(value)
        return
    try:
        gauge.remove(*labels)
    except KeyError:  # it was not shown before either
        return


def set_interval(
    gauge: Gauge, value: float | None, interval: tuple[float, float] | None, *labels: str
) -> None:
    """Set or remove a value and the ends of its 95% interval; their last label is the bound."""
    low, high = interval or (None, None)
    for bound, shown in (("value", value), ("low", low), ("high", high)):
        set_or_remove(gauge, shown, *labels, bound)
