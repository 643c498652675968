"""Serves an application over HTTP in a running event loop."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.contracts.errors import InvalidSettings
from services.runtime.http.body_speed import BodySpeed
from services.runtime.http.entrance import Entrance
from services.runtime.http.hosts import family_of

_KEEP_ALIVE_S = 30
_HEAD_S = 15.0
"""Time limit for a request's head, from the connection's start or the request's first byte."""
_TAKEN = "another process listens there; name another port, or 0 for any free one"
_MAX_CONNECTIONS = 512
"""Beyond these uvicorn answers 503, because each connection may hold a body in memory."""


def traced(provider: TracerProvider) -> TelemetryConfig:
    """Options for an application whose requests start or continue a trace.

    Only POST requests are traced, because only they may publish events.
    """
    return {
        "tracer_provider": provider,
        "exclude": _reads_only,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
    }


def _reads_only(scope: Scope) -> bool:
    return scope.get("method") != "POST"


class _TimedProtocol(H11Protocol):
    """Closes connections that send no complete request head; uvicorn would wait indefinitely."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._start_head_timer()
        else:
            self._stop_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """Does not handle signals; the owner of the event loop does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving_http(
    app: FastAPI,
    host: str,
    port: int,
    *,
    drain_s: float,
    certificate: Path | None = None,
    key: Path | None = None,
    hosts: Collection[str] = (),
    proxies: Sequence[str] = (),
) -> AsyncIterator[int]:
    """Serve the application while the context is open; closing lets requests finish.

    Parameters
    ----------
    port : 0 for any free one
    drain_s : how long open requests may take when the context closes
    certificate, key : PEM files; with them the server uses TLS, without them plain HTTP
    hosts : accepted host names, in addition to those of loopback and the server's own address
    proxies : addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted

    Yields
    ------
    The port.

    Raises
    ------
    InvalidSettings
        The server cannot listen on the address, or cannot use the certificate.
    """
    config = uvicorn.Config(
        Entrance(BodySpeed(app), {host, *hosts}),
        http=_TimedProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Set even if empty: by default, uvicorn trusts loopback or its own environment variable.
        forwarded_allow_ips=[*proxies],
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(drain_s)),
        limit_concurrency=_MAX_CONNECTIONS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    _load(config)
    listening = _listening(host, port)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


def _load(config: uvicorn.Config) -> None:
    try:
        config.load()
    except (OSError, ssl.SSLError) as exc:
        detail = (
            f"GAZELOOP_TLS_CERTIFICATE={config.ssl_certfile} GAZELOOP_TLS_KEY={config.ssl_keyfile}"
        )
        raise InvalidSettings(f"{detail}: {exc}") from exc


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=family_of(host))
    except OSError as exc:
        why = _TAKEN if exc.errno == errno.EADDRINUSE else exc.strerror
        detail = f"GAZELOOP_HOST={host} GAZELOOP_HTTP_PORT={port}: {why}"
        raise InvalidSettings(detail) from exc
