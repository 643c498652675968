"""Curves of a detector on a subset as JSON, for charts and scripts."""

from fastapi import APIRouter, HTTPException, Response, status

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.domain.metrics.subsets import Subset


def curve_routes(context: ReviewContext, _: Pages) -> APIRouter:
    """The route of the curves."""
    router = APIRouter()

    @router.get("/curves")
    async def curves(_: In, detector: str, subset: Subset = Subset.ALL) -> Response:
        """Precision, recall and F1 against the score, and confusions: as `report --json` has them.

        They are as old as the charts: computed every 15 s while matches change.
        """
        content = await context.curves.find(detector, subset)
        if content is None:
            detail = f"There are no curves of {detector} on {subset} yet."
            raise HTTPException(status.HTTP_404_NOT_FOUND, detail)
        return Response(content, media_type="application/json")

    return router
