"""Requests and what their answers mean, without any network."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from gazeloop_client.errors import NotGazeloop, Refused, Unauthorized, Unavailable
from gazeloop_client.records import FrameMetadata, GroundTruth, Predictions

FRAMES, PREDICTIONS, GROUND_TRUTH = "/v1/frames", "/v1/predictions", "/v1/ground-truth"
PATHS = (FRAMES, PREDICTIONS, GROUND_TRUTH)
LINES_PER_REQUEST = 100
"""Gazeloop lists the first hundred refused lines of a request by number, so no more are sent."""
_RETRIED = frozenset({408, 425, 429})
_SERVER_ERRORS = 500
"""From here on: also those that proxies have of their own, such as Cloudflare's 520 to 530."""
_UNAUTHORIZED = 401
_OF_THE_ADDRESS = frozenset({404, 405, 421})
"""The paths are right, so these say that the URL is not that of Gazeloop's ingest."""
_OF_ANY_RECORD = frozenset({400, 413, 415, 422})
"""Refuse a record also where a proxy gives them, without Gazeloop's reason."""
_MAX_WAIT_S = 300.0


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
    if status not in _RETRIED and status < _SERVER_ERRORS:
        return None
    asked = headers.get("retry-after", "")
    # Of digits, as HTTP has them; `isdigit` alone also holds for such as "\u00b2".
    is_seconds = asked.isascii() and asked.isdigit()
    after_s = min(float(asked), _MAX_WAIT_S) if is_seconds else None
    return Retry(f"status {status}: {_problem(body)[1]}", after_s)


def accepted_of(status: int, body: bytes) -> Accepted:
    """The answer to one record.

    Raises
    ------
    Refused, Unauthorized, NotGazeloop
        Gazeloop did not take it.
    """
    answer = _taken(status, body)
    if "frame_id" not in answer:
        raise _not_gazeloop(status, body)
    return Accepted(
        str(answer["frame_id"]),
        answer.get("event_id"),
        answer.get("revision"),
        answer.get("held_id"),
    )


def batch_result_of(status: int, body: bytes) -> BatchResult:
    """The answer to many records.

    Raises
    ------
    Refused, Unauthorized, NotGazeloop
        Gazeloop did not take the request at all.
    """
    answer = _taken(status, body)
    try:
        refused = tuple(
            RefusedLine(line["line"] - 1, line.get("reason", ""), line.get("detail", ""))
            for line in answer["results"]
            if line["status"] == "refused"
        )
        return BatchResult(answer["accepted"] + answer["held"], refused)
    except (LookupError, TypeError, AttributeError) as exc:
        raise _not_gazeloop(status, body) from exc


def _taken(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    known = answer if isinstance(answer, dict) else {}
    if status == _UNAUTHORIZED:
        raise Unauthorized(_problem(body)[1])
    if 200 <= status < 300:  # noqa: PLR2004  # success
        if not known:
            raise _not_gazeloop(status, body)
        return known
    has_reason = "reason" in known and status not in _OF_THE_ADDRESS
    if not has_reason and status not in _OF_ANY_RECORD:
        raise _not_gazeloop(status, body)
    raise Refused(status, *_problem(body))


def _not_gazeloop(status: int, body: bytes) -> NotGazeloop:
    text = body[:200].decode(errors="replace")
    return NotGazeloop(
        f"status {status} is no answer of Gazeloop's ingest; is the URL right, and no portal or"
        f" proxy in between? It says: {text}"
    )


def _problem(body: bytes) -> tuple[str, str]:
    try:
        answer = json.loads(body)
        return str(answer["reason"]), str(answer["detail"])
    except (ValueError, KeyError, TypeError, RecursionError):
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
