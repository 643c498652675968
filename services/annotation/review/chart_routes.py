"""The page of charts: mAP by subset, yield, lift and gain of shortlists, and the review queue."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from fastapi import APIRouter, Request, Response

from services.annotation.review.charts import Chart, Interval, Series, chart
from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.annotation.review.spans import DAYS, span_of
from services.domain.ports.needles import ReviewProgress
from services.runtime.stores.figures import Figures

_ESTIMATED = {"map": "mAP", "precision": "precision", "recall": "recall"}
_SUBSETS = ("R", "H", "S", "H-S")


def chart_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the charts."""
    router = APIRouter()

    @router.get("/charts")
    async def charts(request: Request, session: In) -> Response:
        span = span_of(request.query_params)
        rows = await context.figures.since(context.clock.now() - timedelta(days=DAYS[span]))
        detectors = sorted({row.detector for row in rows})
        wanted = request.query_params.get("detector", "")
        detector = wanted if wanted in detectors else (detectors[-1] if detectors else "")
        chosen = [row for row in rows if row.detector == detector]
        return pages.html(
            request,
            "charts.html",
            session=session,
            charts=_charts(chosen) if chosen else [],
            detectors=detectors,
            detector=detector,
            spans=list(DAYS),
            span=span,
        )

    return router


def _charts(rows: Sequence[Figures]) -> list[Chart]:
    def series(name: str, value: Callable[[Figures], float | None], interval: str = "") -> Series:
        intervals = [_interval(row, interval) for row in rows] if interval else []
        return Series(name, [(row.at, value(row)) for row in rows], intervals)

    return [
        chart(
            "Mean average precision",
            "Expected: H−S > H > S, because shortlisted frames are harder for the detector.",  # noqa: RUF001
            [series(_subset_name(subset), _map_of(subset)) for subset in _SUBSETS],
            from_zero=False,
        ),
        *_haystack(rows),
        chart(
            "Shortlist yield",
            "Share of shortlisted regions that are false positives, compared with draws of"
            " equal size from the same drives and hours.",
            [
                series("shortlist", lambda row: row.found, "yield"),
                series("random draw", lambda row: row.random_yield, "random_yield"),
                series("lowest scores", lambda row: row.lowest_yield, "lowest_yield"),
                series("highest scores", lambda row: row.highest_yield, "highest_yield"),
            ],
            from_zero=True,
        ),
        chart(
            "Lift",
            "Yield divided by the yield of a random draw, with its 95% confidence interval. 1 is no"
            " better than random.",
            [series("lift", lambda row: row.lift, "lift")],
            digits=2,
            from_zero=True,
        ),
        chart(
            "Gain",
            "Share found of the false positives that a random draw would miss. 0 is no better than"
            " random, 1 finds all.",
            [series("gain", lambda row: row.gain, "gain")],
            digits=2,
            from_zero=True,
        ),
        chart(
            "Queue",
            "Number of shortlists by review progress.",
            [series(progress.value, _queued(progress)) for progress in ReviewProgress],
            digits=0,
            from_zero=True,
        ),
    ]


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


def _subset_name(subset: str) -> str:
    return subset.replace("-", "\u2212")


def _map_of(subset: str) -> Callable[[Figures], float | None]:
    return lambda row: row.map.get(subset)


def _interval(row: Figures, name: str) -> Interval | None:
    bounds = row.intervals.get(name)
    return (bounds[0], bounds[1]) if bounds else None


def _queued(progress: ReviewProgress) -> Callable[[Figures], float | None]:
    return lambda row: row.queue.get(progress.value, 0)
