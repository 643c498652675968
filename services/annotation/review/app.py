"""The review page as a FastAPI application, mounted at `/review`."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import structlog
from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from services.annotation.review.base_map import BaseMap
from services.annotation.review.box_routes import box_routes
from services.annotation.review.budget_routes import budget_routes
from services.annotation.review.category_routes import category_routes
from services.annotation.review.chart_routes import chart_routes
from services.annotation.review.context import DeadLetters, ReviewContext
from services.annotation.review.corrections import Corrector
from services.annotation.review.counted_routes import counted_routes
from services.annotation.review.curve_routes import curve_routes
from services.annotation.review.dead_letter_routes import dead_letter_routes
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
from services.annotation.review.list_routes import list_routes
from services.annotation.review.login_routes import login_routes
from services.annotation.review.map_routes import map_routes
from services.annotation.review.needle_routes import needle_routes
from services.annotation.review.overview_routes import overview_routes
from services.annotation.review.picture_routes import picture_routes
from services.annotation.review.pictures import PictureCache
from services.annotation.review.place_routes import place_routes
from services.annotation.review.question_routes import question_routes
from services.annotation.review.region_shortlist_routes import region_shortlist_routes
from services.annotation.review.rendering import STATIC, Pages, is_fragment
from services.annotation.review.sessions import Authenticate, Sessions
from services.annotation.review.similar import SimilarThings
from services.annotation.review.similar_routes import similar_routes
from services.annotation.review.static_files import static_files, static_routes
from services.annotation.review.version_routes import version_routes
from services.annotation.review.view_routes import view_routes
from services.annotation.review.work_routes import work_routes
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import Transient
from services.domain.ports.imports import ImportKind
from services.ground_truth.import_journal import DailyJournal
from services.ground_truth.publishing import GroundTruthPublisher
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)

Count = Callable[[Request, In], Awaitable[None]]

_RETRY_AFTER_S = "5"
_NO_PAGE = "There is no page at this address."
_TITLES = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Refused",
    HTTPStatus.SERVICE_UNAVAILABLE: "Temporarily unavailable",
}


def review_context(
    stores: AnnotationStores,
    outbox: Outbox,
    settings: Settings,
    clock: Clock,
    *,
    authenticate: Authenticate,
    dead_letters: DeadLetters | None = None,
    similar: SimilarThings | None = None,
) -> ReviewContext:
    """The page's parts, wired to these stores.

    Parameters
    ----------
    authenticate : returns the account of an annotation token
    dead_letters : access to the dead letters; None hides them
    similar : searches vectors; None hides the search for similar regions and frames
    """
    images = ShownImages.of(stores.blobs, settings)
    kind, frames = ImportKind.CORRECTIONS, stores.frames
    journal = DailyJournal(kind, "review page", stores.imports, frames, clock)
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
        corrector=Corrector(
            stores.corrections, GroundTruthPublisher(stores.ledger, outbox, "review", journal)
        ),
        pictures=PictureCache(
            settings.data / "cache" / "review",
            settings.review_cache_bytes,
            images,
        ),
        images=images,
        figures=stores.figures,
        curves=stores.curves,
        comparisons=stores.comparisons,
        repair_gains=stores.repair_gains,
        maps=stores.region_maps,
        known_places=stores.known_places,
        budgets=stores.budgets,
        ids=stores.id_search,
        drives=stores.drive_frames,
        views=stores.saved_views,
        region_shortlists=stores.region_shortlists,
        places=stores.frame_places,
        times=stores.frame_times,
        matches=stores.matches,
        held=stores.held,
        questions=stores.questions,
        categories=stores.categories,
        category_maps=stores.category_maps,
        audit=stores.audit,
        base_map=BaseMap.open(settings.review_base_map) if settings.review_base_map else None,
        similar=similar,
        dead_letters=dead_letters,
    )


def build_review_app(context: ReviewContext) -> FastAPI:
    """The application. Mount it with `server.mount("/review", build_review_app(context))`."""
    app = FastAPI(title="Gazeloop review", docs_url=None, redoc_url=None, openapi_url=None)
    files = static_files(STATIC)
    pages = Pages(files)
    app.state.sessions = Sessions(context.sessions, context.tokens, context.clock)
    app.add_middleware(Headers)
    count = _counts(context)
    app.include_router(login_routes(context, pages))
    app.include_router(picture_routes(context))
    app.include_router(static_routes(files))
    for routes in (
        overview_routes,
        list_routes,
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
    ):
        app.include_router(routes(context, pages), dependencies=[Depends(count)])
    _handle_errors(app, pages, count)
    return app


def _counts(context: ReviewContext) -> Count:
    """The dependency that counts open questions for the navigation; fragments have none."""

    async def count(request: Request, _: In) -> None:
        if not is_fragment(request):
            request.state.questions = await context.questions.count()

    return count


def _handle_errors(app: FastAPI, pages: Pages, count: Count) -> None:
    def error_page(request: Request, status: int, detail: str) -> Response:
        title = _TITLES.get(HTTPStatus(status), HTTPStatus(status).phrase)
        template = "error_part.html" if is_fragment(request) else "error.html"
        session = getattr(request.state, "session", None)
        answer = pages.html(
            request, template, session=session, status=status, title=title, detail=detail
        )
        if is_fragment(request):  # show the error as a notice and keep the page's content
            answer.headers["HX-Retarget"] = "#notice"
            answer.headers["HX-Reswap"] = "innerHTML"
        return answer

    async def http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        no_route = exc.detail == HTTPStatus.NOT_FOUND.phrase  # raised by the router
        if no_route:
            with suppress(NotIn, Transient):  # no dependency ran: find the session and count here
                await count(request, await current_session(request))
        return error_page(request, exc.status_code, _NO_PAGE if no_route else str(exc.detail))

    async def forbidden(request: Request, exc: Exception) -> Response:
        return error_page(request, HTTPStatus.FORBIDDEN, str(exc))

    async def unavailable(request: Request, exc: Exception) -> Response:
        log.warning("review_part_away", error=str(exc), path=request.url.path)
        detail = "A store or the broker does not answer. Nothing is lost; try again in a moment."
        answer = error_page(request, HTTPStatus.SERVICE_UNAVAILABLE, detail)
        answer.headers["Retry-After"] = _RETRY_AFTER_S
        return answer

    async def unexpected(request: Request, exc: Exception) -> Response:
        log.error("review_page_failed", path=request.url.path, exc_info=exc)
        detail = "An unexpected error occurred and was logged. Earlier decisions are kept."
        answer = error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        answer.headers.update(SECURITY)  # the middleware that adds them does not see this answer
        return answer

    app.add_exception_handler(Exception, unexpected)
    app.add_exception_handler(NotIn, ask_to_log_in)
    app.add_exception_handler(Forbidden, forbidden)
    app.add_exception_handler(Transient, unavailable)
    app.add_exception_handler(HTTPException, http_error)
