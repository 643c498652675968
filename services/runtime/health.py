"""`/metrics` for Prometheus, `/healthz` for who sends us work, `/livez` for who restarts us."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str | None]
"""Says what is wrong, or nothing; called from a thread of the server's."""


class HealthServer:
    """A small HTTP server in threads of its own, so that a busy loop cannot silence it.

    Parameters
    ----------
    port : 0 for any free one
    checks : what must be well for work to be done, by the name of what is checked
    alive : what must be well for a restart not to be due; a broker that is away calls for none
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
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
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
        """Probes are not worth a line each."""
