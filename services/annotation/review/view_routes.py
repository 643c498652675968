"""Filters of the list of needles that a person saves under a name."""

from fastapi import APIRouter, Response

from services.annotation.ports.saved_views import MAX_VIEWS, SavedView
from services.annotation.review.context import Context
from services.annotation.review.guard import Form
from services.annotation.review.needle_answers import Answers
from services.annotation.review.page import Page

router = APIRouter()

_MAX_NAME_LENGTH = 60


@router.post("/needles/views")
async def save_view(page: Page, form: Form, context: Context, answers: Answers) -> Response:
    """Save the list's filters and order."""
    name = str(form.get("name", "")).strip()[:_MAX_NAME_LENGTH]
    if not name or not name.isprintable():
        return await answers.listed("Name the view first.")
    view = SavedView(page.session.by, name, answers.view.query(page=None))
    if not await context.stores.saved_views.keep(view):
        return await answers.listed(f"You have {MAX_VIEWS} saved views already; delete one first.")
    return await answers.listed(f"Saved as {name}.")


@router.post("/needles/views/delete")
async def delete_view(page: Page, form: Form, context: Context, answers: Answers) -> Response:
    """Delete a saved view."""
    name = str(form.get("name", ""))
    await context.stores.saved_views.drop(page.session.by, name)
    return await answers.listed(f"The view {name} is deleted.")
