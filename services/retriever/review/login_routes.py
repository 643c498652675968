"""Logging in and out."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.retriever.review.desk import Desk
from services.retriever.review.guard import Form, In, read_form, safe_next
from services.retriever.review.rendering import Pages
from services.retriever.review.sessions import COOKIE, SESSION_S, Sessions, cleaned_name

_ATTEMPTS = parse("20/minute")
_LONGEST_TOKEN = 200


def login_routes(desk: Desk, pages: Pages) -> APIRouter:
    """The routes."""
    router = APIRouter()
    attempts = MovingWindowRateLimiter(MemoryStorage())

    @router.get("/login")
    async def ask(request: Request) -> Response:
        wanted = request.query_params.get("next", "")
        return pages.html(request, "login.html", next=safe_next(request, wanted), error="", name="")

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await read_form(request)
        name = cleaned_name(str(form.get("name", "")))
        presented = str(form.get("token", "")).strip()[:_LONGEST_TOKEN]
        target = safe_next(request, str(form.get("next", "")))
        who = request.client.host if request.client else ""
        if not attempts.hit(_ATTEMPTS, who):
            error, token_id = "Too many attempts. Wait a minute, then try again.", None
        elif name is None:
            error, token_id = "Say your name: others see it beside what you decide.", None
        else:
            token_id = await desk.authenticate(presented)
            error = "" if token_id else "This is not a valid token of the annotation team."
        if token_id is None or name is None:
            return pages.html(
                request,
                "login.html",
                status=HTTPStatus.UNPROCESSABLE_ENTITY,
                next=target,
                error=error,
                name=name or "",
            )
        sessions: Sessions = await request.app.state.sessions()
        answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            sessions.cookie(token_id, name),
            max_age=SESSION_S,
            path=_cookie_path(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post("/logout")
    async def log_out(request: Request, _: In, __: Form) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        answer = RedirectResponse(f"{root}/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, path=_cookie_path(request))
        return answer

    return router


def _cookie_path(request: Request) -> str:
    return request.scope.get("root_path", "").rstrip("/") or "/"
