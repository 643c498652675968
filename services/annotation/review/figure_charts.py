"""Charts of a detector's figures over time."""

from collections.abc import Callable, Sequence
from typing import Final

from services.annotation.review.charts import Chart, Interval, Series, chart
from services.domain.ports.figures import Figures
from services.domain.ports.needles import ReviewProgress

_ESTIMATED: Final = {"map": "mAP", "precision": "precision", "recall": "recall"}
_SUBSETS: Final = ("R", "H", "S", "H-S")


def charts_of(rows: Sequence[Figures]) -> list[Chart]:
    """Every chart of these figures, which are in the order of time; none without figures."""
    if not rows:
        return []
    return [_map(rows), *_haystack(rows), _yield(rows), _lift(rows), _gain(rows), _queue(rows)]


def _map(rows: Sequence[Figures]) -> Chart:
    return chart(
        "Mean average precision",
        "Expected: H−S > H > S, because shortlisted frames are harder for the detector.",  # noqa: RUF001
        [_series(rows, subset.replace("-", "\u2212"), _map_of(subset)) for subset in _SUBSETS],
        from_zero=False,
    )


def _haystack(rows: Sequence[Figures]) -> list[Chart]:
    """The chart of figures that are estimated from drawn frames; none where there are none."""
    if not any(row.sampled for row in rows):
        return []
    estimates = [
        Series(
            f"{title}, estimated",
            [(row.at, row.sampled.get(name)) for row in rows],
            [_interval(row, f"sampled_{name}") for row in rows],
        )
        for name, title in _ESTIMATED.items()
    ]
    naive = Series("mAP of annotated frames", [(row.at, row.map.get("H")) for row in rows])
    return [
        chart(
            "The whole haystack",
            "Estimated from frames that were drawn by chance, with 95% confidence intervals. Most"
            " annotated frames were chosen because they are hard, so figures of all of them are"
            " too low.",
            [*estimates, naive],
            from_zero=False,
        )
    ]


def _yield(rows: Sequence[Figures]) -> Chart:
    return chart(
        "Shortlist yield",
        "Share of shortlisted regions that are false positives, compared with draws of"
        " equal size from the same drives and hours.",
        [
            _series(rows, "shortlist", lambda row: row.found, "yield"),
            _series(rows, "random draw", lambda row: row.random_yield, "random_yield"),
            _series(rows, "lowest scores", lambda row: row.lowest_yield, "lowest_yield"),
            _series(rows, "highest scores", lambda row: row.highest_yield, "highest_yield"),
        ],
        from_zero=True,
    )


def _lift(rows: Sequence[Figures]) -> Chart:
    return chart(
        "Lift",
        "Yield divided by the yield of a random draw, with its 95% confidence interval. 1 is no"
        " better than random.",
        [_series(rows, "lift", lambda row: row.lift, "lift")],
        digits=2,
        from_zero=True,
    )


def _gain(rows: Sequence[Figures]) -> Chart:
    return chart(
        "Gain",
        "Share found of the false positives that a random draw would miss. 0 is no better than"
        " random, 1 finds all.",
        [_series(rows, "gain", lambda row: row.gain, "gain")],
        digits=2,
        from_zero=True,
    )


def _queue(rows: Sequence[Figures]) -> Chart:
    return chart(
        "Queue",
        "Number of shortlists by review progress.",
        [_series(rows, progress.value, _queued(progress)) for progress in ReviewProgress],
        digits=0,
        from_zero=True,
    )


def _series(
    rows: Sequence[Figures],
    name: str,
    value: Callable[[Figures], float | None],
    interval: str = "",
) -> Series:
    """A figure over time, with its confidence intervals where they have a name."""
    intervals = [_interval(row, interval) for row in rows] if interval else []
    return Series(name, [(row.at, value(row)) for row in rows], intervals)


def _map_of(subset: str) -> Callable[[Figures], float | None]:
    return lambda row: row.map.get(subset)


def _interval(row: Figures, name: str) -> Interval | None:
    bounds = row.intervals.get(name)
    return (bounds[0], bounds[1]) if bounds else None


def _queued(progress: ReviewProgress) -> Callable[[Figures], float | None]:
    return lambda row: row.queue.get(progress.value, 0)
