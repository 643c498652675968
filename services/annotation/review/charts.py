"""Charts over time, computed as SVG coordinates, so that the page needs no chart script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 520.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 10.0, 10.0, 24.0
_MOST_POINTS = 400
_TICKS = 4
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * _MINUTE_S for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR_S for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY_S for days in (1, 2, 7, 14, 28, 91, 182)),
)
"""Candidate distances between ticks of the time axis; an axis has at most _TICKS of them."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Series:
    """The values of one curve in time order; None where the value is undefined."""

    name: str
    points: Sequence[tuple[datetime, float | None]]

    @property
    def last(self) -> float | None:
        """The latest value."""
        return next((value for _, value in reversed(self.points) if value is not None), None)


@dataclass(frozen=True)
class Curve:
    """A series in SVG units; one path per stretch without a gap."""

    name: str
    paths: Sequence[str]
    end: tuple[float, float] | None
    last: float | None


@dataclass(frozen=True)
class Chart:
    """A chart as the template draws it."""

    title: str
    explanation: str
    curves: Sequence[Curve]
    y_ticks: Sequence[tuple[float, str]]
    x_ticks: Sequence[tuple[float, str]]
    rows: Sequence[tuple[datetime, Sequence[float | None]]]
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
    thin = [Series(item.name, _thinned(item.points)) for item in series]
    times = [at for item in thin for at, _ in item.points]
    values = [value for item in thin for _, value in item.points if value is not None]
    low, high, step = _span(values, from_zero=from_zero)
    first, last = (min(times), max(times)) if times else (_NEVER, _NEVER)
    length = (last - first).total_seconds()

    def x(at: datetime) -> float:
        share = (at - first).total_seconds() / length if length else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    points_by_series = [
        [(x(at), None if value is None else y(value)) for at, value in item.points] for item in thin
    ]
    ticks = [low + step * number for number in range(round((high - low) / step) + 1)]
    return Chart(
        title=title,
        explanation=explanation,
        curves=[
            Curve(item.name, _paths(points), _end(points), item.last)
            for item, points in zip(thin, points_by_series, strict=True)
        ],
        y_ticks=[(y(tick), f"{tick:g}" if abs(tick) < 1e4 else f"{tick:,.0f}") for tick in ticks],  # noqa: PLR2004
        x_ticks=_time_ticks(first, last, x) if times else [],
        rows=_rows(thin),
        digits=digits,
    )


def _thinned(
    points: Sequence[tuple[datetime, float | None]],
) -> Sequence[tuple[datetime, float | None]]:
    step = math.ceil(len(points) / _MOST_POINTS)
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


def _rows(series: Sequence[Series]) -> list[tuple[datetime, list[float | None]]]:
    by_time: dict[datetime, list[float | None]] = {}
    for place, item in enumerate(series):
        for at, value in item.points:
            by_time.setdefault(at, [None] * len(series))[place] = value
    return sorted(by_time.items(), reverse=True)[:20]
