"""Limits on requests: body size (counted while it arrives), and rate."""

import math
import time
from http import HTTPStatus

from fastapi import FastAPI
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.errors import InvalidSettings
from services.runtime.http.answers import Refused, problem
from services.runtime.observability import metrics


def add_limits(app: FastAPI, max_body_bytes: int) -> None:
    """Limit every request body, and measure every response."""
    app.add_middleware(_BodyLimit, max_bytes=max_body_bytes)
    app.add_middleware(_Measured)


class RateLimit:
    """A request rate limit per token, within this process."""

    def __init__(self, limit: str) -> None:
        try:
            self._limit: RateLimitItem = parse(limit)
        except ValueError as exc:
            raise InvalidSettings(f"GAZELOOP_RATE_LIMIT: {exc}") from exc
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, token_id: str, cost: int = 1) -> None:
        """Count a request at its cost, capped at the limit.

        Raises
        ------
        Refused
            429, with `Retry-After`.
        """
        cost = min(cost, self._limit.amount)
        if not cost or self._window.hit(self._limit, token_id, cost=cost):
            return
        free_at = self._window.get_window_stats(self._limit, token_id).reset_time
        wait_s = max(1, math.ceil(free_at - time.time()))
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            f"a token may send {self._limit}",
            {"Retry-After": str(wait_s)},
        )


class _BodyLimit:
    """Refuses a body whose declared length or received size exceeds the limit."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._max_bytes:
            await problem(*self._too_large())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise Refused(*self._too_large())
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> tuple[HTTPStatus, str, str]:
        detail = f"a body may have {self._max_bytes} bytes"
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail


class _Measured:
    """Counts responses and their durations by route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            found = scope.get("route")
            route = found.path if isinstance(found, Route) else "none"
            metrics.HTTP_REQUESTS.labels(route, str(status)).inc()
            metrics.HTTP_SECONDS.labels(route).observe(time.monotonic() - started)
