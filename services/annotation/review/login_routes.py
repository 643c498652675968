"""Logging in and out."""

from http import HTTPStatus
from typing import Literal, TypedDict

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.annotation.review.addresses import root_of, safe_next
from services.annotation.review.context import Context
from services.annotation.review.guard import Form, read_form
from services.annotation.review.page import Page
from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import COOKIE, SESSION_S, Sessions

router = APIRouter()

_WRONG_TOKENS = parse("20/minute")
_MAX_TOKEN_LENGTH = 200
_NOT_VALID = "This is not a valid token of the annotation team."
_TOO_MANY = "Too many wrong tokens from your address. Wait a minute, then try again."


class WrongTokens:
    """Limits how many wrong tokens an address may present."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def exceeded(self, request: Request) -> bool:
        """Count a wrong token; whether there were too many from this address."""
        client = request.client.host if request.client else ""
        return not self._limiter.hit(_WRONG_TOKENS, client)


@router.get("/login")
async def show_form(request: Request) -> Response:
    """The form for a token."""
    target = safe_next(request, request.query_params.get("next", ""))
    return _form(request, target)


@router.post("/login")
async def log_in(request: Request, context: Context) -> Response:
    """Begin a session for the token's owner."""
    form = await read_form(request)
    presented = str(form.get("token", "")).strip()[:_MAX_TOKEN_LENGTH]
    target = safe_next(request, str(form.get("next", "")))
    # Only wrong tokens count, so nobody behind the same address can lock out a valid token.
    account = await context.authenticate(presented)
    if account is None:
        limit: WrongTokens = request.app.state.wrong_tokens
        if limit.exceeded(request):
            return _form(request, target, HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY)
        return _form(request, target, HTTPStatus.UNPROCESSABLE_ENTITY, _NOT_VALID)
    sessions: Sessions = request.app.state.sessions
    answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    secret = await sessions.begin(account)
    answer.set_cookie(COOKIE, secret, max_age=SESSION_S, **_cookie_scope(request))
    return answer


@router.post("/logout")
async def log_out(request: Request, page: Page, _: Form) -> Response:
    """End the session."""
    sessions: Sessions = request.app.state.sessions
    await sessions.end(page.session)
    answer = page.redirect("/login")
    answer.delete_cookie(COOKIE, **_cookie_scope(request))
    return answer


def _form(
    request: Request, target: str, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """The login page, which leads to the target."""
    pages: Pages = request.app.state.pages
    return pages.html(request, "login.html", status=status, next=target, error=error)


class _CookieScope(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def _cookie_scope(request: Request) -> _CookieScope:
    """Only the page's own requests carry the cookie, and no script reads it."""
    return {
        "path": root_of(request) or "/",
        "secure": request.url.scheme == "https",
        "httponly": True,
        "samesite": "strict",
    }
