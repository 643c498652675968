"""What stands between a browser and the page: who is in, whose form it is, what may be loaded."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.annotation.review.sessions import COOKIE, Session, Sessions, is_same

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
MAX_FORM_BYTES = 65_536
_MAX_FIELDS = 500
_MOST_DIGITS = 9
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


class NotIn(Exception):
    """Nobody is logged in."""


class Forbidden(Exception):
    """The form was not drawn for this session, or came from another site."""


class Headers:
    """Adds the security headers to every answer; caches keep only what says that they may."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Our own files are asked for again, and mostly answered by 304; pages are never kept.
        kept = "no-cache" if "/static/" in scope.get("path", "") else "no-store"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY)
                headers.setdefault("Cache-Control", kept)
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


async def current_session(request: Request) -> Session:
    """Who is in.

    Raises
    ------
    NotIn
        Nobody is.
    """
    sessions: Sessions = request.app.state.sessions
    session = await sessions.open(request.cookies.get(COOKIE))
    if session is None:
        raise NotIn
    request.state.session = session  # an error's page has it from here: it may not ask the store
    return session


async def read_form(request: Request) -> FormData:
    """The form, where it is a small one.

    Raises
    ------
    Forbidden
        It is too large, or comes from another site.
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
    """The form of this session's own page.

    Raises
    ------
    NotIn, Forbidden
        Nobody is in, or the form is not theirs.
    """
    form = await read_form(request)
    presented = request.headers.get(CSRF_HEADER) or str(form.get(CSRF_FIELD, ""))
    if not is_same(session, presented):
        raise Forbidden("This form was drawn for another session. Reload the page and try again.")
    return form


def whole_number(field: object) -> int | None:
    """What a form's field says; none where that is no number that we would have written there."""
    text = str(field)
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else None


def check_origin(request: Request) -> None:
    """Refuse what another site sends.

    Raises
    ------
    Forbidden
        The browser says that it comes from elsewhere.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        raise Forbidden("Another site has sent this form.")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise Forbidden("Another site has sent this form.")


def login_address(request: Request) -> str:
    """Where to log in, and come back from."""
    root = request.scope.get("root_path", "").rstrip("/")
    if request.method != "GET":
        return f"{root}/login"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{root}/login?next={quote(request.url.path + query)}"


def safe_next(request: Request, given: str) -> str:
    """An address of this page; the start page where another is given."""
    root = request.scope.get("root_path", "").rstrip("/")
    parts = urlsplit(given)
    printable = given.isprintable() and "\\" not in given
    inside = not parts.scheme and not parts.netloc and given.startswith(f"{root}/")
    return given if printable and inside and not given.startswith("//") else f"{root}/"


async def ask_to_log_in(request: Request, _: Exception) -> Response:
    """Send a person to the login; a part of a page cannot go there, so the whole page does."""
    address = login_address(request)
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": address})


Handler = Callable[[Request, Exception], Awaitable[Response]]
In = Annotated[Session, Depends(current_session)]
Form = Annotated[FormData, Depends(checked_form)]
