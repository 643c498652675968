"""Sends records and waits until Gazeloop has them; blocking."""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol

import httpx

from gazeloop_client import protocol
from gazeloop_client.protocol import Accepted, Attempts, BatchResult, Request, Retry
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions

_REQUEST_S = 60.0


class Clock(Protocol):
    """Time, which tests replace."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Wait."""
        ...


class Client:
    """A connection to Gazeloop's ingest. Every call may be repeated without harm.

    Parameters
    ----------
    url : of ingest, for example https://gazeloop.example:8000
    token : from `gazeloop tokens create vehicle:ID`
    timeout_s : how long a call waits for Gazeloop before it raises Unavailable, in seconds
    transport : how requests travel; httpx's default
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = time,
    ) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_REQUEST_S,
            transport=transport,
        )
        self._timeout_s = timeout_s
        self._clock = clock

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def publish_frame(self, image: bytes, metadata: FrameMetadata) -> Accepted:
        """Publish an image, JPEG or PNG.

        Raises
        ------
        Refused, Unauthorized, NotGazeloop, Unavailable
        ValueError
            `captured_at` is missing, or has no time zone.
        """
        return self._accepted(protocol.frame_request(image, metadata))

    def publish_predictions(self, record: Predictions) -> Accepted:
        """Publish what a detector found on one frame.

        Raises
        ------
        Refused, Unauthorized, NotGazeloop, Unavailable
        """
        return self._accepted(protocol.record_request(protocol.PREDICTIONS, record))

    def publish_ground_truth(self, record: GroundTruth) -> Accepted:
        """Publish the ground truth of one frame; needs an annotation token.

        Raises
        ------
        Refused, Unauthorized, NotGazeloop, Unavailable
        """
        return self._accepted(protocol.record_request(protocol.GROUND_TRUTH, record))

    def publish_predictions_batch(self, records: Iterable[Predictions]) -> BatchResult:
        """Publish many records; a wrong one is refused by itself, and named in the result.

        Raises
        ------
        Refused, Unauthorized, NotGazeloop, Unavailable
            A whole request failed. Those before it were taken; repeat the batch.
        """
        return self._batch(protocol.PREDICTIONS, records)

    def publish_ground_truth_batch(self, records: Iterable[GroundTruth]) -> BatchResult:
        """Like `publish_predictions_batch`, of ground truth."""
        return self._batch(protocol.GROUND_TRUTH, records)

    def send_lines(self, path: str, lines: Sequence[bytes]) -> BatchResult:
        """Send up to a hundred records, each one line of JSON, in one request."""
        return self._taken(protocol.lines_request(path, lines))

    def send(self, request: Request) -> httpx.Response:
        """Send until there is an answer other than "later".

        Raises
        ------
        Unavailable
            There is none within the client's time.
        """
        attempts = Attempts(self._timeout_s, self._clock.monotonic)
        while True:
            answer = self._attempt(request)
            if not isinstance(answer, Retry):
                return answer
            self._clock.sleep(attempts.wait_s(answer))

    def _attempt(self, request: Request) -> httpx.Response | Retry:
        try:
            response = self._http.post(
                request.path,
                content=request.content,
                files=request.files,
                headers=request.headers,
            )
        except httpx.RequestError as exc:
            return Retry.after(exc)
        retry = protocol.retry_of(response.status_code, response.headers, response.content)
        return retry or response

    def _accepted(self, request: Request) -> Accepted:
        response = self.send(request)
        return protocol.accepted_of(response.status_code, response.content)

    def _batch(self, path: str, records: Iterable[Predictions | GroundTruth]) -> BatchResult:
        result = BatchResult()
        for place, request in protocol.batch_requests(path, records):
            result += self._taken(request).shifted(place)
        return result

    def _taken(self, request: Request) -> BatchResult:
        response = self.send(request)
        return protocol.batch_result_of(response.status_code, response.content)
