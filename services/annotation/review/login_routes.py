"""Logging in and out."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import Form, In, read_form, safe_next
from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import COOKIE, SESSION_S, Sessions

_WRONG_TOKENS = parse("20/minute")
_LONGEST_TOKEN = 200
_NOT_VALID = "This is not a valid token of the annotation team."
_TOO_MANY = "Too many wrong tokens from your address. Wait a minute, then try again."


def login_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of login and logout."""
    router = APIRouter()
    wrong = MovingWindowRateLimiter(MemoryStorage())

    @router.get("/login")
    async def show_form(request: Request) -> Response:
        wanted = request.query_params.get("next", "")
        return pages.html(request, "login.html", next=safe_next(request, wanted), error="")

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await read_form(request)
        presented = str(form.get("token", "")).strip()[:_LONGEST_TOKEN]
        target = safe_next(request, str(form.get("next", "")))
        # Only wrong tokens count, so nobody behind the same address can lock out a valid token.
        account = await context.authenticate(presented)
        if account is None:
            who = request.client.host if request.client else ""
            slow_down = not wrong.hit(_WRONG_TOKENS, who)
            status = HTTPStatus.TOO_MANY_REQUESTS if slow_down else HTTPStatus.UNPROCESSABLE_ENTITY
            error = _TOO_MANY if slow_down else _NOT_VALID
            return pages.html(request, "login.html", status=status, next=target, error=error)
        sessions: Sessions = request.app.state.sessions
        answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            await sessions.begin(account),
            max_age=SESSION_S,
            path=_cookie_path(request),
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post("/logout")
    async def log_out(request: Request, session: In, _: Form) -> Response:
        sessions: Sessions = request.app.state.sessions
        await sessions.end(session)
        root = request.scope.get("root_path", "").rstrip("/")
        answer = RedirectResponse(f"{root}/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(
            COOKIE,
            path=_cookie_path(request),
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    return router


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"


def _cookie_path(request: Request) -> str:
    return request.scope.get("root_path", "").rstrip("/") or "/"
