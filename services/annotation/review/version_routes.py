"""The page of detector versions: what each fixed and broke, compared with the one before."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages


def version_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """The route of the page."""
    router = APIRouter()

    @router.get("/versions")
    async def versions(request: Request, session: In) -> Response:
        comparisons = await context.comparisons.all()
        named = {f"{old} to {new}": content for (old, new), content in comparisons.items()}
        wanted = request.query_params.get("pair", "")
        pair = wanted if wanted in named else next(reversed(named), "")
        found: dict[str, Any] | None = orjson.loads(named[pair]) if pair else None
        return pages.html(
            request,
            "versions.html",
            session=session,
            pairs=list(named),
            pair=pair,
            found=found,
            changed=_changed(found) if found else [],
        )

    return router


def _changed(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The families that changed on some frame."""
    return [family for family in found["families"] if family["improved"] or family["worsened"]]
