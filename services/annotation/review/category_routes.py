"""The page of category maps: how detectors' names map to the ground truth's, and unknown ones."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from services.annotation.review.context import Context
from services.annotation.review.guard import Form
from services.annotation.review.page import Page
from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.ground_truth.category_changes import (
    CategoryChange,
    change_categories,
    parsed_names,
    parsed_scope,
)

router = APIRouter()

_IGNORED, _DROPPED = "ignored", "dropped"


@router.get("/categories")
async def categories(page: Page, context: Context) -> Response:
    """The category maps, and a form for each unknown name."""
    return await _shown(page, context)


@router.post("/categories")
async def change(page: Page, form: Form, context: Context) -> Response:
    """Add a name to a category map, or take one out."""
    fields = (str(form.get(name, "")) for name in ("detector", "name", "meaning", "category"))
    try:
        wanted = _change(*fields)
    except InvalidRecord as exc:
        return await _shown(page, context, str(exc))
    stores, now = context.stores, context.clock.now()
    await change_categories(wanted, stores.category_maps, stores.audit, page.session.by, now)
    return page.redirect("/categories")


async def _shown(page: Page, context: Context, refusal: str = "") -> Response:
    maps = context.stores.category_maps
    return page.html(
        "categories.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if refusal else HTTPStatus.OK,
        maps=[stored for stored in await maps.all() if stored.map.names],
        unknown=await maps.unknown(),
        categories=await context.stores.categories.all(),
        refusal=refusal,
    )


def _change(detector: str, name: str, meaning: str, category: str) -> CategoryChange:
    scope = parsed_scope(detector)
    names = parsed_names({name: None if meaning in (_IGNORED, _DROPPED) else category})
    if meaning == _DROPPED:
        return CategoryChange(scope, {}, [Category(name)])
    return CategoryChange(scope, names)
