"""The review page as a FastAPI application, mounted at `/review`.

Every `*_routes` module has a `router`. Its routes take what they need as dependencies: `Page`
answers a person who is logged in, `Form` is what they have sent, `Context` has stores and services.
"""

from fastapi import Depends, FastAPI

from services.annotation.review import (
    box_routes,
    budget_routes,
    category_routes,
    chart_routes,
    counted_routes,
    curve_routes,
    dead_letter_routes,
    frame_routes,
    list_routes,
    login_routes,
    map_routes,
    needle_routes,
    overview_routes,
    picture_routes,
    place_routes,
    question_routes,
    region_shortlist_routes,
    similar_routes,
    static_routes,
    version_routes,
    view_routes,
    work_routes,
)
from services.annotation.review.context import ReviewContext
from services.annotation.review.error_pages import add_error_pages
from services.annotation.review.guard import SecurityHeaders
from services.annotation.review.login_routes import WrongTokens
from services.annotation.review.navigation import count_questions
from services.annotation.review.rendering import STATIC, Pages
from services.annotation.review.sessions import Sessions
from services.annotation.review.static_files import static_files

_PLAIN = (login_routes, picture_routes, static_routes)
_WITH_NAVIGATION = (
    overview_routes,
    list_routes,  # before needle_routes: a needle's id could be any word
    view_routes,
    needle_routes,
    place_routes,
    frame_routes,
    box_routes,
    chart_routes,
    curve_routes,
    counted_routes,
    version_routes,
    work_routes,
    map_routes,
    region_shortlist_routes,
    similar_routes,
    budget_routes,
    question_routes,
    category_routes,
    dead_letter_routes,
)


def build_review_app(context: ReviewContext) -> FastAPI:
    """The application. Mount it with `server.mount("/review", build_review_app(context))`."""
    app = FastAPI(title="Gazeloop review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.state.sessions = Sessions(context.stores.sessions, context.stores.tokens, context.clock)
    app.state.wrong_tokens = WrongTokens()
    app.state.static_files = static_files(STATIC)
    app.state.pages = Pages(app.state.static_files)
    app.add_middleware(SecurityHeaders)
    for routes in _PLAIN:
        app.include_router(routes.router)
    for routes in _WITH_NAVIGATION:
        app.include_router(routes.router, dependencies=[Depends(count_questions)])
    add_error_pages(app)
    return app
