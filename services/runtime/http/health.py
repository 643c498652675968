"""`/metrics` for Prometheus, `/healthz` for readiness probes, `/livez` for liveness probes."""

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, Self

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.runtime.http.hosts import family_of

Check = Callable[[], str | None]
"""Returns what is wrong, or None; called in a thread of the server."""

_MAX_CONNECTIONS = 32
_CONNECTION_S = 10.0
"""Limit of a connection's duration; a scrape takes tenths of a second."""


class HealthServer:
    """A small HTTP server in its own threads, so that it answers while the event loop is busy.

    Parameters
    ----------
    port : 0 for any free one
    checks : readiness checks, by name
    alive : liveness checks, by name; a broker that is down must not fail one, as a restart would
        not help
    """

    def __init__(
        self,
        host: str,
        port: int,
        checks: Mapping[str, Check],
        *,
        alive: Mapping[str, Check] | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        known = {"checks": dict(checks), "alive": dict(alive or {}), "registry": registry}
        handler = type("_Handler", (_Handler,), known)
        self._server = _BoundedServer((host, port), handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _BoundedServer(ThreadingHTTPServer):
    """Limits the number and duration of connections, so that slow clients cannot block probes."""

    daemon_threads = True
    # With the default of 5, a burst of connections fills the queue, and the rest wait for seconds.
    request_queue_size = 4 * _MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = BoundedSemaphore(_MAX_CONNECTIONS)
        self.address_family = family_of(address[0])
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; close it if there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, for a limited time."""
        # A socket timeout restarts with every byte; this timer does not.
        ending = Timer(_CONNECTION_S, _shut, (request,))
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that disconnects, or is disconnected, is not an error."""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    checks: Mapping[str, Check]
    alive: Mapping[str, Check]
    registry: CollectorRegistry

    def do_GET(self) -> None:
        """Answer /metrics, /healthz and /livez."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encode(self.registry))
        elif path == "/healthz":
            self._answer_health(self.checks)
        elif path == "/livez":
            self._answer_health(self.alive)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not found\n")

    def _answer_health(self, checks: Mapping[str, Check]) -> None:
        reasons = {name: reason for name, check in checks.items() if (reason := check())}
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        body = {"status": "unhealthy" if reasons else "ok", "reasons": reasons}
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Do nothing: a log line per probe is useless."""
