"""What the navigation of every page shows besides its links."""

from fastapi import Request

from services.annotation.review.context import Context
from services.annotation.review.guard import LoggedIn
from services.annotation.review.rendering import is_fragment


async def count_questions(request: Request, _: LoggedIn, context: Context) -> None:
    """Count open questions for the navigation; fragments have none."""
    if not is_fragment(request):
        request.state.questions = await context.stores.questions.count()
