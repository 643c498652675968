"""Curves of a detector on a subset: a page, and JSON for other charts and scripts."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.confusion_table import confusion_table
from services.annotation.review.context import Context
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page
from services.annotation.review.score_charts import precision_recall_chart, threshold_chart
from services.annotation.review.stored_curves import StoredCurves
from services.contracts.identity import Category, DetectorId
from services.domain.metrics.subsets import Subset

router = APIRouter()

_MAX_LENGTH = 200


@dataclass(frozen=True)
class CurveChoice:
    """What a page of curves shows; an empty category means all together."""

    detector: DetectorId
    subset: Subset
    category: Category
    score: float | None
    part: str = ""
    """A slice of all frames, as `key=value`; empty for the subset."""

    @property
    def query(self) -> dict[str, str]:
        """The choice without its score, as the URL has it."""
        parts = {"detector": self.detector, "subset": self.subset, "category": self.category}
        parts |= {"slice": self.part}
        return {name: str(value) for name, value in parts.items() if value}


@router.get("/curves")
async def curves(
    _: LoggedIn, context: Context, detector: str, subset: Subset = Subset.ALL
) -> Response:
    """Precision, recall and F1 against the score, and confusions: as `report --json` has them.

    They are as old as the charts: computed every 15 s while matches change.
    """
    content = await context.stores.curves.find(detector, subset)
    if content is None:
        detail = f"There are no curves of {detector} on {subset} yet."
        raise HTTPException(HTTPStatus.NOT_FOUND, detail)
    return Response(content, media_type="application/json")


@router.get("/charts/curves")
async def curve_page(request: Request, page: Page, context: Context) -> Response:
    """The curves of a detector, with the figures at a chosen score."""
    store = context.stores.curves
    detectors = await store.detectors()
    choice = _choice(request.query_params, detectors)
    if choice.part:
        content = await store.find_slice(choice.detector, choice.part)
    else:
        content = await store.find(choice.detector, choice.subset)
    stored = StoredCurves.model_validate_json(content) if content else None
    operating = context.settings.operating_scores
    score = operating.of(choice.detector, choice.category)
    return page.html(
        "curve_part.html" if page.is_fragment and stored else "curves.html",
        detectors=detectors,
        subsets=list(Subset),
        slices=await store.slices(choice.detector),
        choice=choice,
        categories=sorted(stored.categories) if stored else [],
        operating_score=score,
        operating=operating,
        **(_shown(stored, choice, score) if stored else {}),
    )


def _choice(params: Mapping[str, str], detectors: list[DetectorId]) -> CurveChoice:
    wanted = params.get("detector", "")
    detector = next((name for name in detectors if name == wanted), None)
    subset = next((item for item in Subset if item == params.get("subset")), Subset.ALL)
    category = Category(params.get("category", "").strip())
    last = detectors[-1] if detectors else DetectorId("")
    part = params.get("slice", "").strip()[:_MAX_LENGTH]
    score = _score(params.get("score", ""))
    return CurveChoice(detector or last, Subset.ALL if part else subset, category, score, part)


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def _shown(stored: StoredCurves, choice: CurveChoice, operating_score: float) -> dict[str, Any]:
    category = choice.category if choice.category in stored.categories else None
    points, best = stored.points(category), stored.best(category)
    wanted = choice.score
    if wanted is None:
        wanted = best.score if best else operating_score
    chosen = min(range(len(points)), key=lambda k: abs(points[k].score - wanted))
    return {
        "at": points[chosen],
        "best": best,
        "charts": [
            precision_recall_chart(points, chosen),
            threshold_chart(points, chosen),
        ],
        "matrix": confusion_table(stored.confusion, category),
        "of": category,
    }
