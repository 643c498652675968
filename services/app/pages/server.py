"""Serve a process's HTTP on one port: ingest's API for vehicles, and the review page."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

from fastapi import FastAPI

from services.app.parts import REVIEW_PATH, App
from services.contracts.flow import REVIEW
from services.runtime.clock import Clock
from services.runtime.http.hosts import in_url
from services.runtime.http.server import serving_http
from services.runtime.settings import Settings

# Names, not imports: a process of one service loads the code of no other, nor its libraries.
BUILDERS: Final[Mapping[str, str]] = {
    "ingest": "services.app.pages.ingest",
    REVIEW: "services.app.pages.review",
}
"""The modules whose `build` is a `Build`, by service, in the order in which they build a server."""
PATHS: Final[Mapping[str, str]] = {"ingest": "/v1", REVIEW: REVIEW_PATH}

Build = Callable[[FastAPI | None, App, Clock], AbstractAsyncContextManager[FastAPI]]
"""Adds a service to the process's server, or makes the server if there is none yet.

The service's background work runs while the context is open.
"""


@asynccontextmanager
async def pages_served(
    services: Sequence[str], app: App, clock: Clock
) -> AsyncIterator[dict[str, str]]:
    """Serve what these services serve by HTTP; yields the addresses by name.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    InvalidSettings
        The port is taken, or the certificate cannot be read.
    """
    names = [name for name in BUILDERS if name in services]
    async with AsyncExitStack() as closing:
        server: FastAPI | None = None
        for name in names:
            building = _build_of(name)(server, app, clock)
            server = await closing.enter_async_context(building)
        assert server is not None, "no service has a page"
        port = await closing.enter_async_context(_on_port(server, app.settings))
        scheme = "https" if app.settings.tls_certificate else "http"
        host = in_url(app.settings.host)
        yield {name: f"{scheme}://{host}:{port}{PATHS[name]}" for name in names}


def _build_of(name: str) -> Build:
    build: Build = import_module(BUILDERS[name]).build
    return build


def _on_port(server: FastAPI, settings: Settings) -> AbstractAsyncContextManager[int]:
    return serving_http(
        server,
        settings.host,
        settings.http_port,
        drain_s=settings.drain_deadline_s,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        hosts=settings.hosts,
        proxies=settings.proxies,
    )
