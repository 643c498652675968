"""The page of charts: mAP by subset, yield, lift and gain of shortlists, and the review queue."""

from datetime import timedelta

from fastapi import APIRouter, Response

from services.annotation.review.context import Context
from services.annotation.review.figure_charts import charts_of
from services.annotation.review.page import Page
from services.annotation.review.spans import DAYS, Period

router = APIRouter()


@router.get("/charts")
async def chart_page(page: Page, context: Context, span: Period, detector: str = "") -> Response:
    """The charts of a detector; of the last one, if the address names none."""
    start = context.clock.now() - timedelta(days=DAYS[span])
    figures = context.stores.figures
    detectors = await figures.detectors()
    chosen = detector if detector in detectors else next(reversed(detectors), "")
    return page.html(
        "charts.html",
        charts=charts_of(await figures.history(chosen, start)),
        detectors=detectors,
        detector=chosen,
        spans=list(DAYS),
        span=span,
    )
