"""Sends records and waits until Gazeloop has them, for asyncio."""

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType

import httpx

from gazeloop_client import protocol
from gazeloop_client.protocol import Accepted, Attempts, BatchResult, Request, Retry
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions

_REQUEST_S = 60.0


class AsyncClient:
    """`Client` for asyncio: the same methods, parameters and errors."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_REQUEST_S,
            transport=transport,
        )
        self._timeout_s = timeout_s

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def publish_frame(self, image: bytes, metadata: FrameMetadata) -> Accepted:
        """Publish an image, JPEG or PNG."""
        return await self._accepted(protocol.frame_request(image, metadata))

    async def publish_predictions(self, record: Predictions) -> Accepted:
        """Publish what a detector found on one frame."""
        return await self._accepted(protocol.record_request(protocol.PREDICTIONS, record))

    async def publish_ground_truth(self, record: GroundTruth) -> Accepted:
        """Publish the ground truth of one frame; needs an annotation token."""
        return await self._accepted(protocol.record_request(protocol.GROUND_TRUTH, record))

    async def publish_predictions_batch(self, records: Iterable[Predictions]) -> BatchResult:
        """Publish many records; a wrong one is refused by itself, and named in the result."""
        return await self._batch(protocol.PREDICTIONS, records)

    async def publish_ground_truth_batch(self, records: Iterable[GroundTruth]) -> BatchResult:
        """Like `publish_predictions_batch`, of ground truth."""
        return await self._batch(protocol.GROUND_TRUTH, records)

    async def _send(self, request: Request) -> httpx.Response:
        attempts = Attempts(self._timeout_s, time.monotonic)
        while True:
            answer = await self._attempt(request)
            if not isinstance(answer, Retry):
                return answer
            await asyncio.sleep(attempts.wait_s(answer))

    async def _attempt(self, request: Request) -> httpx.Response | Retry:
        try:
            response = await self._http.post(
                request.path,
                content=request.content,
                files=request.files,
                headers=request.headers,
            )
        except httpx.RequestError as exc:
            return Retry.after(exc)
        retry = protocol.retry_of(response.status_code, response.headers, response.content)
        return retry or response

    async def _accepted(self, request: Request) -> Accepted:
        response = await self._send(request)
        return protocol.accepted_of(response.status_code, response.content)

    async def _batch(self, path: str, records: Iterable[Predictions | GroundTruth]) -> BatchResult:
        result = BatchResult()
        for place, request in protocol.batch_requests(path, records):
            response = await self._send(request)
            taken = protocol.batch_result_of(response.status_code, response.content)
            result += taken.shifted(place)
        return result
