"""Errors as pages, or as notices on the open page."""

from contextlib import suppress
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from services.annotation.review.context import context_of
from services.annotation.review.guard import (
    SECURITY,
    Forbidden,
    NotLoggedIn,
    ask_to_log_in,
    current_session,
)
from services.annotation.review.navigation import count_questions
from services.annotation.review.rendering import Pages, is_fragment
from services.contracts.errors import Transient
from services.runtime.http.answers import Refused

log = structlog.get_logger(__name__)

_RETRY_AFTER_S = "5"
_NO_PAGE = "There is no page at this address."
_UNAVAILABLE = "A store or the broker does not answer. Nothing is lost; try again in a moment."
_UNEXPECTED = "An unexpected error occurred and was logged. Earlier decisions are kept."
_TITLES = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Refused",
    HTTPStatus.SERVICE_UNAVAILABLE: "Temporarily unavailable",
}


def add_error_pages(app: FastAPI) -> None:
    """Answer every error of the application's routes with a page."""
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(NotLoggedIn, ask_to_log_in)
    app.add_exception_handler(Forbidden, _forbidden)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Transient, _unavailable)
    app.add_exception_handler(HTTPException, _http_error)


def _error_page(request: Request, status: int, detail: str) -> Response:
    pages: Pages = request.app.state.pages
    answer = pages.html(
        request,
        "error_part.html" if is_fragment(request) else "error.html",
        session=getattr(request.state, "session", None),
        status=status,
        title=_TITLES.get(HTTPStatus(status), HTTPStatus(status).phrase),
        detail=detail,
    )
    if is_fragment(request):  # show the error as a notice and keep the page's content
        answer.headers["HX-Retarget"] = "#notice"
        answer.headers["HX-Reswap"] = "innerHTML"
    return answer


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    no_route = exc.detail == HTTPStatus.NOT_FOUND.phrase  # raised by the router
    if no_route:
        with suppress(NotLoggedIn, Transient):  # no dependency ran: find the session and count here
            session = await current_session(request)
            await count_questions(request, session, await context_of(request))
    return _error_page(request, exc.status_code, _NO_PAGE if no_route else str(exc.detail))


async def _forbidden(request: Request, exc: Exception) -> Response:
    return _error_page(request, HTTPStatus.FORBIDDEN, str(exc))


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    answer = _error_page(request, exc.status, str(exc))
    answer.headers.update(exc.headers or {})
    return answer


async def _unavailable(request: Request, exc: Exception) -> Response:
    log.warning("review_part_away", error=str(exc), path=request.url.path)
    answer = _error_page(request, HTTPStatus.SERVICE_UNAVAILABLE, _UNAVAILABLE)
    answer.headers["Retry-After"] = _RETRY_AFTER_S
    return answer


async def _unexpected(request: Request, exc: Exception) -> Response:
    log.error("review_page_failed", path=request.url.path, exc_info=exc)
    answer = _error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, _UNEXPECTED)
    answer.headers.update(SECURITY)  # the middleware that adds them does not see this answer
    return answer
