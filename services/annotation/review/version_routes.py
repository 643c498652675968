"""The page of detector versions: what each fixed and broke, compared with the one before."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from services.annotation.review.context import Context
from services.annotation.review.page import Page

router = APIRouter()


@router.get("/versions")
async def versions(page: Page, context: Context, pair: str = "") -> Response:
    """The comparison of a pair of versions; of the last pair, if the address names none."""
    comparisons = await context.stores.comparisons.all()
    named = {f"{old} to {new}": content for (old, new), content in comparisons.items()}
    chosen = pair if pair in named else next(reversed(named), "")
    found: dict[str, Any] | None = orjson.loads(named[chosen]) if chosen else None
    return page.html(
        "versions.html",
        pairs=list(named),
        pair=chosen,
        found=found,
        changed=_changed(found) if found else [],
    )


def _changed(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The families that changed on some frame."""
    return [family for family in found["families"] if family["improved"] or family["worsened"]]
