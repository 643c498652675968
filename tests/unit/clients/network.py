"""Ingest on fakes, and a network between it and a client that fails as it is told."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import httpx
from gazeloop_client import Predictions

from tests.unit.ingest.web import Web


def predictions(number: int, score: float = 0.5) -> Predictions:
    return {
        "frame_id": f"v1:{number}",
        "detector": "ods",
        "version": "1",
        "detections": [{"category": "stop sign", "score": score, "bbox": [1, 2, 3, 4]}],
    }


@dataclass(frozen=True)
class Lost:
    """A request, or its answer, that does not arrive."""

    arrives: bool


@dataclass
class Network(httpx.BaseTransport):
    """Carries requests to ingest, as long as nothing in `faults` comes first.

    Attributes
    ----------
    faults : what happens to the next requests: lost, or answered by this status and Retry-After
    """

    web: Web
    faults: deque[Lost | tuple[int, str]] = field(default_factory=deque)
    requests: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, tuple):
            status, after = fault
            return httpx.Response(status, headers={"Retry-After": after} if after else {})
        if fault is not None and not fault.arrives:
            raise httpx.ConnectError("no route")
        answer = asyncio.run(self._carried(request))
        if fault is not None:
            raise httpx.ReadError("connection reset")
        return answer

    async def _carried(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(self.web.app, raise_app_exceptions=False)
        answer = await transport.handle_async_request(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


@dataclass
class Stopwatch:
    """A clock that does not wait."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.waits.append(seconds)
        self.now += seconds
