"""The review page as an application, to be mounted at `/review`."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from services.annotation.review.budget_routes import budget_routes
from services.annotation.review.chart_routes import chart_routes
from services.annotation.review.corrections import Corrector
from services.annotation.review.desk import Letters, ReviewContext
from services.annotation.review.frame_routes import frame_routes
from services.annotation.review.guard import (
    SECURITY,
    Forbidden,
    Headers,
    In,
    NotIn,
    ask_to_log_in,
    current_session,
)
from services.annotation.review.letter_routes import letter_routes
from services.annotation.review.login_routes import login_routes
from services.annotation.review.needle_routes import needle_routes
from services.annotation.review.overview_routes import overview_routes
from services.annotation.review.picture_routes import picture_routes
from services.annotation.review.pictures import PictureCache
from services.annotation.review.question_routes import question_routes
from services.annotation.review.rendering import STATIC, Pages, is_fragment
from services.annotation.review.sessions import Authenticate, Sessions
from services.contracts.errors import Transient
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores

log = structlog.get_logger(__name__)

Count = Callable[[Request, In], Awaitable[None]]

_RETRY_AFTER_S = "5"
_NO_PAGE = "There is no page at this address."
_SAID = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Refused",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available just now",
}


def open_desk(
    stores: Stores,
    outbox: Outbox,
    settings: Settings,
    clock: Clock,
    *,
    authenticate: Authenticate,
    letters: Letters | None = None,
) -> ReviewContext:
    """The page's parts on these stores.

    Parameters
    ----------
    authenticate : says whose token of the annotation team a text is
    letters : the dead letters; none hides them
    """
    return ReviewContext(
        settings=settings,
        clock=clock,
        authenticate=authenticate,
        tokens=stores.tokens,
        sessions=stores.sessions,
        frames=stores.frames,
        needles=stores.needles,
        lists=stores.needle_lists,
        modes=stores.needle_modes,
        marks=stores.family_marks,
        reviews=stores.reviews,
        corrector=Corrector(stores.corrections, stores.ledger, outbox),
        pictures=PictureCache(
            settings.data / "cache" / "review",
            settings.review_cache_bytes,
            stores.blobs,
            ImageLimits.of(settings),
        ),
        figures=stores.figures,
        budgets=stores.budgets,
        places=stores.frame_places,
        times=stores.frame_times,
        matches=stores.matches,
        held=stores.held,
        questions=stores.questions,
        categories=stores.categories,
        letters=letters,
    )


def build_review_app(desk: ReviewContext) -> FastAPI:
    """The application. Mount it with `server.mount("/review", build_review_app(desk))`."""
    app = FastAPI(title="Gazeloop review", docs_url=None, redoc_url=None, openapi_url=None)
    pages = Pages()
    app.state.sessions = Sessions(desk.sessions, desk.tokens, desk.clock)
    app.add_middleware(Headers)
    count = _counts(desk)
    app.include_router(login_routes(desk, pages))
    app.include_router(picture_routes(desk))
    for routes in (
        overview_routes,
        needle_routes,
        frame_routes,
        chart_routes,
        budget_routes,
        question_routes,
        letter_routes,
    ):
        app.include_router(routes(desk, pages), dependencies=[Depends(count)])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _handle_errors(app, pages, count)
    return app


def _counts(desk: ReviewContext) -> Count:
    """What the navigation of whole pages counts."""

    async def count(request: Request, _: In) -> None:
        if not is_fragment(request):
            request.state.questions = await desk.questions.count()

    return count


def _handle_errors(app: FastAPI, pages: Pages, count: Count) -> None:
    def told(request: Request, status: int, detail: str) -> Response:
        title = _SAID.get(HTTPStatus(status), HTTPStatus(status).phrase)
        template = "error_part.html" if is_fragment(request) else "error.html"
        session = getattr(request.state, "session", None)
        answer = pages.html(
            request, template, session=session, status=status, title=title, detail=detail
        )
        if is_fragment(request):  # told beside what is on the page, which stays
            answer.headers["HX-Retarget"] = "#notice"
            answer.headers["HX-Reswap"] = "innerHTML"
        return answer

    async def http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        unsaid = exc.detail == HTTPStatus.NOT_FOUND.phrase  # by the router: no page has the address
        if unsaid:
            with suppress(NotIn, Transient):  # the router asks nobody in; the page is told without
                await count(request, await current_session(request))
        return told(request, exc.status_code, _NO_PAGE if unsaid else str(exc.detail))

    async def forbidden(request: Request, exc: Exception) -> Response:
        return told(request, HTTPStatus.FORBIDDEN, str(exc))

    async def away(request: Request, exc: Exception) -> Response:
        log.warning("review_part_away", error=str(exc), path=request.url.path)
        detail = "A store or the broker does not answer. Nothing is lost; try again in a moment."
        answer = told(request, HTTPStatus.SERVICE_UNAVAILABLE, detail)
        answer.headers["Retry-After"] = _RETRY_AFTER_S
        return answer

    async def unexpected(request: Request, exc: Exception) -> Response:
        log.error("review_page_failed", path=request.url.path, exc_info=exc)
        detail = "Something is wrong on our side, and was noted. What was decided before is kept."
        answer = told(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        answer.headers.update(SECURITY)  # this answer is given outside of all else
        return answer

    app.add_exception_handler(Exception, unexpected)
    app.add_exception_handler(NotIn, ask_to_log_in)
    app.add_exception_handler(Forbidden, forbidden)
    app.add_exception_handler(Transient, away)
    app.add_exception_handler(HTTPException, http_error)
