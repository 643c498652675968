"""Refuses requests for unknown hosts or with an ambiguous length before an application sees them.

The first stops DNS rebinding: a page of another site whose name resolves to this server's address.
The second stops request smuggling: a proxy and this server that split a connection differently.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.runtime.observability import metrics

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PROBED: Final = "/healthz"
"""Answered for any host, because probes use any name and the answer is public."""


class Entrance:
    """Middleware that refuses requests for unknown hosts and requests with two lengths.

    Parameters
    ----------
    hosts : accepted names and addresses, without ports, in addition to those of loopback and the
        address that a request has reached
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            detail = "a request has Content-Length or Transfer-Encoding, not both"
            return _refused(HTTPStatus.BAD_REQUEST, "ambiguous_length", detail)
        host = host_of(headers.get("host", ""))
        if scope["path"] == _PROBED or self._is_served(host, scope):
            return None
        detail = f"nothing is served for the host {host!r:.200}; see GAZELOOP_ALLOWED_HOSTS"
        return _refused(HTTPStatus.MISDIRECTED_REQUEST, "unknown_host", detail)

    def _is_served(self, host: str, scope: Scope) -> bool:
        reached = scope.get("server") or ("", None)
        return host in self._hosts or (host != "" and host == reached[0])


def host_of(header: str) -> str:
    """The name or address in a `Host` header, without its port; empty if there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _refused(status: HTTPStatus, reason: str, detail: str) -> JSONResponse:
    metrics.HTTP_REQUESTS.labels("none", str(status.value)).inc()
    body = {"reason": reason, "detail": detail}
    return JSONResponse(body, status_code=status, headers={"Connection": "close"})
