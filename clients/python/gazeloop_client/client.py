"""Sends records and waits until Gazeloop has them; blocking."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Protocol, TypeVar

import httpx

from gazeloop_client import protocol
from gazeloop_client.errors import Unavailable
from gazeloop_client.protocol import Accepted, Backoff, BatchResult, Request, Retry
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions

T = TypeVar("T")
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
        Refused, Unauthorized, Unavailable
        ValueError
            `captured_at` has no time zone.
        """
        return self._accepted(protocol.frame_request(image, metadata))

    def publish_predictions(self, record: Predictions) -> Accepted:
        """Publish what a detector found on one frame.

        Raises
        ------
        Refused, Unauthorized, Unavailable
        """
        return self._accepted(protocol.record_request(protocol.PREDICTIONS, record))

    def publish_ground_truth(self, record: GroundTruth) -> Accepted:
        """Publish the ground truth of one frame; needs an annotation token.

        Raises
        ------
        Refused, Unauthorized, Unavailable
        """
        return self._accepted(protocol.record_request(protocol.GROUND_TRUTH, record))

    def publish_predictions_batch(self, records: Iterable[Predictions]) -> BatchResult:
        """Publish many records; a wrong one is refused by itself, and named in the result.

        Raises
        ------
        Refused, Unauthorized, Unavailable
            A whole request failed. Those before it were taken; repeat the batch.
        """
        return self._batch(protocol.PREDICTIONS, records)

    def publish_ground_truth_batch(self, records: Iterable[GroundTruth]) -> BatchResult:
        """Like `publish_predictions_batch`, of ground truth."""
        return self._batch(protocol.GROUND_TRUTH, records)

    def send_lines(self, path: str, lines: Sequence[bytes]) -> BatchResult:
        """Send up to a hundred records, each one line of JSON, in one request."""
        response = self.send(protocol.lines_request(path, lines))
        return protocol.batch_result_of(response.status_code, response.content)

    def send(self, request: Request) -> httpx.Response:
        """Send until there is an answer other than "later".

        Raises
        ------
        Unavailable
            There is none within the client's time.
        """
        deadline, backoff = self._clock.monotonic() + self._timeout_s, Backoff()
        while True:
            answer = self._attempt(request)
            if isinstance(answer, httpx.Response):
                return answer
            wait_s = backoff.next_wait_s(answer)
            if self._clock.monotonic() + wait_s > deadline:
                raise Unavailable(
                    f"no answer within {self._timeout_s:g} s: {answer.cause}", answer.after_s
                )
            self._clock.sleep(wait_s)

    def _attempt(self, request: Request) -> httpx.Response | Retry:
        headers = {"Content-Type": request.media_type} if request.media_type else None
        try:
            response = self._http.post(
                request.path, content=request.content, files=request.files, headers=headers
            )
        except httpx.TransportError as exc:
            return Retry(f"{type(exc).__name__}: {exc}")
        retry = protocol.retry_of(response.status_code, response.headers, response.content)
        return retry or response

    def _accepted(self, request: Request) -> Accepted:
        response = self.send(request)
        return protocol.accepted_of(response.status_code, response.content)

    def _batch(self, path: str, records: Iterable[Predictions | GroundTruth]) -> BatchResult:
        result, sent = BatchResult(), 0
        for part in in_parts(records, protocol.LINES_PER_REQUEST):
            lines = [json.dumps(record).encode() for record in part]
            result += self.send_lines(path, lines).shifted(sent)
            sent += len(part)
        return result


def in_parts(records: Iterable[T], size: int) -> Iterator[list[T]]:
    """The records in lists of at most `size`."""
    left = iter(records)
    while part := list(islice(left, size)):
        yield part
