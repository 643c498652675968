"""The page of category maps: how detectors' names map to the ground truth's, and unknown ones."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import Form, In
from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import Session
from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.ground_truth.category_changes import (
    CategoryChange,
    change_categories,
    parsed_names,
    parsed_scope,
)

_IGNORED, _DROPPED = "ignored", "dropped"


def category_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the category maps."""
    router = APIRouter()

    async def shown(request: Request, session: Session, refusal: str = "") -> Response:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if refusal else HTTPStatus.OK
        return pages.html(
            request,
            "categories.html",
            session=session,
            status=status,
            maps=[stored for stored in await context.category_maps.all() if stored.map.names],
            unknown=await context.category_maps.unknown(),
            categories=await context.categories.all(),
            refusal=refusal,
        )

    @router.get("/categories")
    async def categories(request: Request, session: In) -> Response:
        return await shown(request, session)

    @router.post("/categories")
    async def change(request: Request, session: In, form: Form) -> Response:
        fields = (str(form.get(name, "")) for name in ("detector", "name", "meaning", "category"))
        try:
            wanted = _change(*fields)
        except InvalidRecord as exc:
            return await shown(request, session, str(exc))
        maps, audit = context.category_maps, context.audit
        await change_categories(wanted, maps, audit, session.by, context.clock.now())
        base = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{base}/categories", HTTPStatus.SEE_OTHER)

    return router


def _change(detector: str, name: str, meaning: str, category: str) -> CategoryChange:
    scope = parsed_scope(detector)
    names = parsed_names({name: None if meaning in (_IGNORED, _DROPPED) else category})
    if meaning == _DROPPED:
        return CategoryChange(scope, {}, [Category(name)])
    return CategoryChange(scope, names)
