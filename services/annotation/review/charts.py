"""Charts over time, computed as SVG coordinates, so that the page needs no chart script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, zip_longest
from typing import TypeVar

WIDTH, HEIGHT = 520.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 10.0, 10.0, 24.0
_MAX_POINTS = 400
_TICKS = 4
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * _MINUTE_S for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR_S for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY_S for days in (1, 2, 7, 14, 28, 91, 182)),
)
"""Candidate distances between ticks of the time axis; an axis has at most _TICKS of them."""
_ALONE = 3.0
"""Half the width of the band of a single value."""
Interval = tuple[float, float]
_NEVER = datetime.min.replace(tzinfo=UTC)


_T = TypeVar("_T")


@dataclass(frozen=True)
class Series:
    """The values of one curve in time order; None where the value is undefined.

    Attributes
    ----------
    intervals : by point the 95% interval of its value; empty if the series has none
    """

    name: str
    points: Sequence[tuple[datetime, float | None]]
    intervals: Sequence[Interval | None] = ()

    @property
    def last(self) -> float | None:
        """The latest value."""
        return next((value for _, value in reversed(self.points) if value is not None), None)

    @property
    def last_interval(self) -> Interval | None:
        """The interval of the latest value."""
        pairs = zip(reversed(self.points), reversed(self.intervals), strict=False)
        return next((interval for (_, value), interval in pairs if value is not None), None)


@dataclass(frozen=True)
class Curve:
    """A series in SVG units; one path, and one band, per stretch without a gap."""

    name: str
    paths: Sequence[str]
    bands: Sequence[str]
    end: tuple[float, float] | None
    last: float | None
    last_interval: Interval | None


@dataclass(frozen=True)
class Chart:
    """A chart as the template draws it."""

    title: str
    explanation: str
    curves: Sequence[Curve]
    y_ticks: Sequence[tuple[float, str]]
    x_ticks: Sequence[tuple[float, str]]
    rows: Sequence[tuple[datetime, Sequence[tuple[float | None, Interval | None]]]]
    digits: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(curve.last is None for curve in self.curves)


def chart(
    title: str, explanation: str, series: Sequence[Series], *, digits: int = 3, from_zero: bool
) -> Chart:
    """The chart of these series, which share their time axis.

    Parameters
    ----------
    from_zero : whether the value axis begins at zero, as counts and ratios need
    """
    thin = [Series(item.name, _thinned(item.points), _thinned(item.intervals)) for item in series]
    times = [at for item in thin for at, _ in item.points]
    values = [value for item in thin for _, value in item.points if value is not None]
    values += [end for item in thin for interval in item.intervals if interval for end in interval]
    low, high, step = _span(values, from_zero=from_zero)
    first, last = (min(times), max(times)) if times else (_NEVER, _NEVER)
    length = (last - first).total_seconds()

    def x(at: datetime) -> float:
        share = (at - first).total_seconds() / length if length else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    ticks = [low + step * number for number in range(round((high - low) / step) + 1)]
    return Chart(
        title=title,
        explanation=explanation,
        curves=[_curve(item, x, y) for item in thin],
        y_ticks=[(y(tick), label) for tick, label in zip(ticks, _labels(ticks), strict=True)],
        x_ticks=_time_ticks(first, last, x) if times else [],
        rows=_rows(thin),
        digits=digits,
    )


def _labels(ticks: Sequence[float]) -> list[str]:
    """The numbers of an axis, all with as many decimals as one of them needs."""
    decimals = max(len(f"{round(tick, 6):f}".rstrip("0").partition(".")[2]) for tick in ticks)
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _curve(item: Series, x: Callable[[datetime], float], y: Callable[[float], float]) -> Curve:
    points = [(x(at), None if value is None else y(value)) for at, value in item.points]
    bounds = [
        (place, None if interval is None else (y(interval[0]), y(interval[1])))
        for (place, _), interval in zip(points, item.intervals, strict=False)
    ]
    return Curve(
        item.name, _paths(points), _bands(bounds), _end(points), item.last, item.last_interval
    )


def _thinned(points: Sequence[_T]) -> Sequence[_T]:
    step = math.ceil(len(points) / _MAX_POINTS)
    return [*points[:-1:step], *points[-1:]] if step > 1 else points


def _span(values: Sequence[float], *, from_zero: bool) -> tuple[float, float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if from_zero:
        low = min(low, 0.0)
    if high - low < 1e-9:  # noqa: PLR2004  # one value alone
        low, high = (low, low + 1) if from_zero else (low - 0.05, high + 0.05)
    rough = (high - low) / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return round(bottom, 9), round(max(top, bottom + step), 9), step


def _paths(points: Sequence[tuple[float, float | None]]) -> list[str]:
    paths: list[list[str]] = [[]]
    for x, y in points:
        if y is None:
            paths.append([])
        else:
            paths[-1].append(f"{x:g} {y:g}")
    return [f"M{' L'.join(path)}" for path in paths if len(path) > 1]


def _bands(bounds: Sequence[tuple[float, tuple[float, float] | None]]) -> list[str]:
    """The areas between the bounds; one per stretch without a gap."""
    bands = []
    for known, stretch in groupby(bounds, key=lambda bound: bound[1] is not None):
        ends = [(x, *ys) for x, ys in stretch if ys is not None]
        if len(ends) == 1:
            x, low, high = ends[0]
            ends = [(x - _ALONE, low, high), (x + _ALONE, low, high)]
        if known:
            outline = [(x, high) for x, _, high in ends] + [(x, low) for x, low, _ in ends[::-1]]
            bands.append(f"M{' L'.join(f'{x:g} {y:g}' for x, y in outline)} Z")
    return bands


def _end(points: Sequence[tuple[float, float | None]]) -> tuple[float, float] | None:
    return next(((x, y) for x, y in reversed(points) if y is not None), None)


def _time_ticks(
    first: datetime, last: datetime, x: Callable[[datetime], float]
) -> list[tuple[float, str]]:
    """Ticks at whole steps between the two times, with their labels."""
    span = (last - first).total_seconds()
    step = next((item for item in _STEPS_S if span <= item * _TICKS), _STEPS_S[-1])
    whole = range(math.ceil(first.timestamp() / step), math.floor(last.timestamp() / step) + 1)
    moments = [datetime.fromtimestamp(number * step, UTC) for number in whole] or [first]
    form = _time_form(step, one_day=first.date() == last.date())
    return [(x(moment), moment.strftime(form)) for moment in moments]


def _time_form(step: int, *, one_day: bool) -> str:
    if step >= _DAY_S:
        return "%d %b"
    clock = "%H:%M" if step >= _MINUTE_S else "%H:%M:%S"
    return clock if one_day else f"%d %b {clock}"


def _rows(
    series: Sequence[Series],
) -> list[tuple[datetime, list[tuple[float | None, Interval | None]]]]:
    by_time: dict[datetime, list[tuple[float | None, Interval | None]]] = {}
    for place, item in enumerate(series):
        for (at, value), interval in zip_longest(item.points, item.intervals):
            by_time.setdefault(at, [(None, None)] * len(series))[place] = (value, interval)
    return sorted(by_time.items(), reverse=True)[:20]
