"""Filters of the list of needles that a person saves under a name."""

from fastapi import APIRouter, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import Form, In
from services.annotation.review.listing import View
from services.annotation.review.needle_answers import NeedleAnswers
from services.annotation.review.rendering import Pages
from services.annotation.stores.saved_views import MOST_VIEWS, SavedView

_LONGEST_NAME = 60


def view_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of saved views."""
    router = APIRouter()
    answers = NeedleAnswers(context, pages)

    @router.post("/needles/views")
    async def save_view(request: Request, session: In, form: Form) -> Response:
        name = str(form.get("name", "")).strip()[:_LONGEST_NAME]
        if not name or not name.isprintable():
            return await answers.listed(request, session, "Name the view first.")
        query = View.of(request.query_params).query(page=None)
        if not await context.views.keep(SavedView(session.by, name, query)):
            text = f"You have {MOST_VIEWS} saved views already; delete one first."
            return await answers.listed(request, session, text)
        return await answers.listed(request, session, f"Saved as {name}.")

    @router.post("/needles/views/delete")
    async def delete_view(request: Request, session: In, form: Form) -> Response:
        name = str(form.get("name", ""))
        await context.views.drop(session.by, name)
        return await answers.listed(request, session, f"The view {name} is deleted.")

    return router
