"""The HTTP interface on a port, within a running loop."""

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

from services.contracts.errors import InvalidSettings
from services.runtime.http_entrance import Entrance

_KEEP_ALIVE_S = 30
_TAKEN = "another process listens there; name another port, or 0 for any free one"
_MAX_CONNECTIONS = 512
"""Beyond these, uvicorn answers 503: each may hold a body in memory."""


def traced(provider: TracerProvider) -> TelemetryConfig:
    """How an application is built whose requests start or continue a trace.

    Only those that may publish something do; the rest goes nowhere that a trace would show.
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


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever runs the loop."""

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
    """The application answers on a port while this is open; closing lets requests finish.

    Parameters
    ----------
    port : 0 takes any free one
    drain_s : how long open requests may take when it closes
    certificate, key : PEM files; with them it speaks TLS, without them HTTP
    hosts : names that it answers for, beside those of loopback and its own address
    proxies : addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count

    Yields
    ------
    The port.

    Raises
    ------
    InvalidSettings
        The address cannot be listened on, or the certificate cannot be used.
    """
    config = uvicorn.Config(
        Entrance(app, {host, *hosts}),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Also where it is empty: uvicorn would trust loopback, or its own variable, by default.
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
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        why = _TAKEN if exc.errno == errno.EADDRINUSE else exc.strerror
        detail = f"GAZELOOP_HOST={host} GAZELOOP_HTTP_PORT={port}: {why}"
        raise InvalidSettings(detail) from exc
