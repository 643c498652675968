"""The least speed at which the body of a request must arrive."""

import asyncio
import time
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.http.answers import Refused

_BODY_S = 30.0
_BODY_BYTES_PER_S = 16_384
"""Minimum speed of a body after its first seconds."""


class BodySpeed:
    """Refuses a body that arrives too slowly: each open request takes one of few connections.

    The application reads the body, and answers the `Refused` that this raises.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, started, whole = 0, time.monotonic(), False

        async def timed() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()  # the disconnect message
            # Like Apache's RequestReadTimeout: slow connections may be slow, but not endless.
            left_s = _BODY_S + received / _BODY_BYTES_PER_S - (time.monotonic() - started)
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    message = await receive()
            except TimeoutError as exc:
                raise _too_slow() from exc
            whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            return message

        await self._app(scope, timed, send)


def _too_slow() -> Refused:
    detail = f"a body must arrive with {_BODY_BYTES_PER_S} bytes a second or more"
    headers = {"Connection": "close"}
    return Refused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", detail, headers)
