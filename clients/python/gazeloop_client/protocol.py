"""Requests and what their answers mean, without any network."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from gazeloop_client.errors import Refused, Unauthorized, Unavailable
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions

FRAMES, PREDICTIONS, GROUND_TRUTH = "/v1/frames", "/v1/predictions", "/v1/ground-truth"
LINES_PER_REQUEST = 100
"""Gazeloop lists the first hundred refused lines of a request by number, so no more are sent."""
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNAUTHORIZED = 401
_MULTI_STATUS = 207
_LONGEST_WAIT_S = 300.0


@dataclass(frozen=True)
class Request:
    """A request to one of ingest's paths.

    Attributes
    ----------
    content : a JSON or NDJSON body; None for a multipart one
    files : parts of a multipart body: name to (file name, content, media type)
    """

    path: str
    content: bytes | None = None
    media_type: str | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None

    @property
    def headers(self) -> Mapping[str, str] | None:
        """The headers that the body needs."""
        return {"Content-Type": self.media_type} if self.media_type else None


@dataclass(frozen=True)
class Accepted:
    """The broker has acknowledged the record, or a question about it is kept.

    Attributes
    ----------
    event_id : None if the record is held
    held_id : of the question, if the record's labels are unknown to Gazeloop
    """

    frame_id: str
    event_id: str | None = None
    revision: int | None = None
    held_id: str | None = None


@dataclass(frozen=True)
class RefusedLine:
    """One record of a batch that was refused.

    Attributes
    ----------
    place : of the record in the batch, from 0
    """

    place: int
    reason: str
    detail: str


@dataclass(frozen=True)
class BatchResult:
    """What became of a batch: accepted and refused records."""

    accepted: int = 0
    refused: tuple[RefusedLine, ...] = ()

    def shifted(self, offset: int) -> "BatchResult":
        """The same for a batch that began at this place."""
        moved = (RefusedLine(r.place + offset, r.reason, r.detail) for r in self.refused)
        return BatchResult(self.accepted, tuple(moved))

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(self.accepted + other.accepted, self.refused + other.refused)


@dataclass(frozen=True)
class Retry:
    """Gazeloop is busy or away.

    Attributes
    ----------
    after_s : seconds that it asks for; None if it does not say
    """

    cause: str
    after_s: float | None = None

    @classmethod
    def after(cls, error: Exception) -> "Retry":
        """Where no answer came because of this error."""
        return cls(f"{type(error).__name__}: {error}")


def frame_request(image: bytes, metadata: FrameMetadata) -> Request:
    """One image with its metadata.

    Raises
    ------
    ValueError
        The time is missing, or has no time zone.
    """
    described = json.dumps({**metadata, "captured_at": _time(metadata.get("captured_at"))}).encode()
    return described_frame_request(image, described)


def described_frame_request(image: bytes, described: bytes) -> Request:
    """One image with its metadata in JSON."""
    return Request(
        FRAMES,
        files={
            "image": ("frame", image, "application/octet-stream"),
            "metadata": ("metadata.json", described, "application/json"),
        },
    )


def record_request(path: str, record: Predictions | GroundTruth) -> Request:
    """One frame's predictions or ground truth."""
    return Request(path, json.dumps(record).encode(), "application/json")


def lines_request(path: str, lines: Sequence[bytes]) -> Request:
    """Many records, each one line of JSON."""
    return Request(path, b"\n".join(lines) + b"\n", "application/x-ndjson")


def batch_requests(
    path: str, records: Iterable[Predictions | GroundTruth]
) -> Iterator[tuple[int, Request]]:
    """The requests that send these records, each with the place of its first record."""
    left, place = iter(records), 0
    while lines := [json.dumps(record).encode() for record in islice(left, LINES_PER_REQUEST)]:
        yield place, lines_request(path, lines)
        place += len(lines)


def _time(value: datetime | str | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or value.tzinfo is None:
        what = "is missing" if value is None else "has no time zone"
        raise ValueError(f"captured_at {what}: use datetime.now(timezone.utc)")
    return value.isoformat()


def retry_of(status: int, headers: Mapping[str, str], body: bytes) -> Retry | None:
    """Whether this answer asks to send the request again later."""
    if status not in _RETRIED:
        return None
    asked = headers.get("retry-after", "")
    after_s = min(float(asked), _LONGEST_WAIT_S) if asked.isdigit() else None
    return Retry(f"status {status}: {_problem(body)[1]}", after_s)


def accepted_of(status: int, body: bytes) -> Accepted:
    """The answer to one record.

    Raises
    ------
    Refused, Unauthorized
        Gazeloop did not take it.
    """
    answer = _taken(status, body)
    return Accepted(
        str(answer.get("frame_id", "")),
        answer.get("event_id"),
        answer.get("revision"),
        answer.get("held_id"),
    )


def batch_result_of(status: int, body: bytes) -> BatchResult:
    """The answer to many records.

    Raises
    ------
    Refused, Unauthorized
        Gazeloop did not take the request at all.
    """
    answer = _taken(status, body)
    refused = tuple(
        RefusedLine(line["line"] - 1, line.get("reason", ""), line.get("detail", ""))
        for line in answer.get("results", ())
        if line["status"] == "refused"
    )
    return BatchResult(int(answer.get("accepted", 0)) + int(answer.get("held", 0)), refused)


def _taken(status: int, body: bytes) -> dict[str, Any]:
    if status == _UNAUTHORIZED:
        raise Unauthorized(_problem(body)[1])
    if status != _MULTI_STATUS and not 200 <= status < 300:  # noqa: PLR2004  # success
        raise Refused(status, *_problem(body))
    try:
        answer = json.loads(body)
    except ValueError as exc:
        raise Refused(status, "no_json", f"not an answer of Gazeloop: {body[:200]!r}") from exc
    if not isinstance(answer, dict):
        raise Refused(status, "no_json", f"not an answer of Gazeloop: {body[:200]!r}")
    return answer


def _problem(body: bytes) -> tuple[str, str]:
    try:
        answer = json.loads(body)
        return str(answer["reason"]), str(answer["detail"])
    except (ValueError, KeyError, TypeError):
        return "unknown", body[:200].decode(errors="replace")


@dataclass
class Backoff:
    """Waits between attempts: doubling, with jitter, so that a fleet does not return at once.

    Attributes
    ----------
    first_s, most_s : of the doubling, in seconds
    """

    first_s: float = 0.5
    most_s: float = 60.0
    _attempts: int = field(default=0, init=False)

    def next_wait_s(self, retry: Retry) -> float:
        """Seconds until the next attempt: at least what the server asks for."""
        ceiling = min(self.most_s, self.first_s * 2.0**self._attempts)
        self._attempts = min(self._attempts + 1, 30)
        jittered = ceiling * (0.5 + random.random() / 2)  # noqa: S311  # not a secret
        return max(jittered, retry.after_s or 0.0)


class Attempts:
    """The attempts to send one request, until there is an answer or the time is over.

    Parameters
    ----------
    timeout_s : from now on
    monotonic : the time now, in seconds since some moment
    """

    def __init__(self, timeout_s: float, monotonic: Callable[[], float]) -> None:
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._deadline = monotonic() + timeout_s
        self._backoff = Backoff()

    def wait_s(self, retry: Retry) -> float:
        """Seconds until the next attempt.

        Raises
        ------
        Unavailable
            The time is over before that.
        """
        wait_s = self._backoff.next_wait_s(retry)
        if self._monotonic() + wait_s > self._deadline:
            raise Unavailable(
                f"no answer within {self._timeout_s:g} s: {retry.cause}", retry.after_s
            )
        return wait_s
