"""Access control of the page: sessions, forms, security headers."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.annotation.review.addresses import login_address, parts_of
from services.annotation.review.sessions import COOKIE, Session, Sessions, is_same

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
MAX_FORM_BYTES = 65_536
_MAX_FIELDS = 2000
"""A row of boxes has four."""
_MAX_DIGITS = 9
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class NotLoggedIn(Exception):
    """Nobody is logged in."""


class Forbidden(Exception):
    """The form was not rendered for this session, or came from another site."""


class SecurityHeaders:
    """Adds the security headers to every answer, and forbids caching unless the route allows it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Browsers revalidate static files, mostly with a 304, and never store pages.
        caching = "no-cache" if "/static/" in scope.get("path", "") else "no-store"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY)
                headers.setdefault("Cache-Control", caching)
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


async def current_session(request: Request) -> Session:
    """The session of the person who is logged in.

    Raises
    ------
    NotLoggedIn
        Nobody is logged in.
    """
    sessions: Sessions = request.app.state.sessions
    session = await sessions.open(request.cookies.get(COOKIE))
    if session is None:
        raise NotLoggedIn
    request.state.session = session  # error pages read it here, as they cannot query the store
    return session


async def read_form(request: Request) -> FormData:
    """The form of a request, limited in size.

    Raises
    ------
    Forbidden
        The form is too large, or comes from another site.
    """
    check_origin(request)
    declared = request.headers.get("Content-Length", "")
    if not declared.isdigit() or int(declared) > MAX_FORM_BYTES:
        raise Forbidden("This form is too large.")
    if not request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        raise Forbidden("This is not a form of this page.")
    return await request.form(max_fields=_MAX_FIELDS, max_files=0)


async def checked_form(
    request: Request, session: Annotated[Session, Depends(current_session)]
) -> FormData:
    """The form, if it was rendered for this session.

    Raises
    ------
    NotLoggedIn, Forbidden
        Nobody is logged in, or the form is of another session.
    """
    form = await read_form(request)
    presented = request.headers.get(CSRF_HEADER) or str(form.get(CSRF_FIELD, ""))
    if not is_same(session, presented):
        raise Forbidden("This form belongs to another session. Reload the page and try again.")
    return form


def whole_number(field: object) -> int | None:
    """The number in a form's field or an address; None unless it is written as the page does."""
    text = str(field)
    plain = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if plain else None


def check_origin(request: Request) -> None:
    """Refuse a request that another site sends.

    Raises
    ------
    Forbidden
        The browser's headers name another site.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        raise Forbidden("Another site has sent this form.")
    origin = request.headers.get("Origin")
    if origin is None:
        return
    parts = parts_of(origin)
    if parts is None or parts.netloc != request.headers.get("Host"):
        raise Forbidden("Another site has sent this form.")


async def ask_to_log_in(request: Request, _: Exception) -> Response:
    """Redirect to the login page; for a fragment, tell htmx to redirect the whole page."""
    address = login_address(request)
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": address})


Handler = Callable[[Request, Exception], Awaitable[Response]]
LoggedIn = Annotated[Session, Depends(current_session)]
Form = Annotated[FormData, Depends(checked_form)]
