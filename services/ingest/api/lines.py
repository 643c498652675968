"""Many records in one request (NDJSON), processed in parts to bound memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import Request, Response
from pydantic import BaseModel

from services.contracts.errors import InvalidRecord
from services.domain.ports.held_corrections import HeldCorrection
from services.ground_truth.publishing import Accepted
from services.ingest import ways
from services.ingest.api.requests import Line, RecordType, read_line
from services.runtime.http.answers import LISTED_REFUSALS, LineResult, Refused
from services.runtime.kafka.limits import MAX_EVENT_BYTES
from services.runtime.observability import metrics

MAX_LINES = 50_000
"""Maximum lines of a request, because the response lists each accepted one."""
LINES_PER_REQUEST = 100
"""Number of lines that count as one request in a token's rate."""
LINES_AT_ONCE = 256
"""Lines that are published together."""
_BYTES_AT_ONCE = 1 << 20


class _Counts(BaseModel):
    accepted: int
    held: int
    refused: int
    reasons: dict[str, int]


async def read_bounded(request: Request) -> bytearray:
    """Read the body into memory once; its size is limited while it arrives."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    return body


def cost_of(body: bytearray) -> int:
    """The number of additional requests that the body's lines count as in a token's rate.

    Raises
    ------
    Refused
        413, if there are too many lines.
    """
    lines = body.count(b"\n") + 1
    if lines > MAX_LINES:
        detail = f"{lines} lines; a request may have {MAX_LINES}: send several"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_lines", detail)
    return (lines - 1) // LINES_PER_REQUEST


async def parts_of(body: bytearray, kind: RecordType, most: int) -> AsyncIterator[list[Line]]:
    """The lines in parts, parsed outside the event loop.

    Parameters
    ----------
    most : maximum detections per frame
    """
    start, number = 0, 0
    while start < len(body):
        lines, start, number = await asyncio.to_thread(_part, body, start, number, kind, most)
        yield lines


def _part(
    body: bytearray, start: int, number: int, kind: RecordType, most: int
) -> tuple[list[Line], int, int]:
    lines: list[Line] = []
    first = start
    while start < len(body) and len(lines) < LINES_AT_ONCE and start - first < _BYTES_AT_ONCE:
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        number += 1
        # Copy only enough to see that it is too long: the whole body may be one line.
        text = bytes(memoryview(body)[start : min(end, start + MAX_EVENT_BYTES + 1)])
        start = end + 1
        if text.strip():
            lines.append(read_line(number, kind, text, most))
    return lines, start, number


@dataclass
class LineAnswer:
    """The results of the lines so far, kept as JSON, which takes a tenth of the memory."""

    _listed: list[bytes] = field(default_factory=list)
    _refused: Counter[str] = field(default_factory=Counter)
    _accepted: int = 0
    _held: int = 0

    def add(self, lines: Sequence[Line], facts: Sequence[Accepted | HeldCorrection]) -> None:
        """Add the results of accepted and refused lines, in order."""
        left = iter(facts)
        for line in lines:
            if isinstance(line.content, InvalidRecord):
                self._refuse(line.number, line.content)
            else:
                self._take(line, next(left))

    def _take(self, line: Line, fact: Accepted | HeldCorrection) -> None:
        held = isinstance(fact, HeldCorrection)
        self._held += held
        self._accepted += not held
        self._list(_taken(line, fact))

    def _refuse(self, number: int, error: InvalidRecord) -> None:
        metrics.RECORDS_REJECTED.labels(error.reason, ways.HTTP).inc()
        self._refused[error.reason] += 1
        if self._refused.total() <= LISTED_REFUSALS:
            detail = str(error)[:1000]
            self._list(
                LineResult(line=number, status="refused", reason=error.reason, detail=detail)
            )

    def _list(self, result: LineResult) -> None:
        self._listed.append(result.model_dump_json(exclude_none=True).encode())

    def response(self) -> Response:
        """207 if a line was refused, else 202."""
        refused = self._refused.total()
        counts = _Counts(
            accepted=self._accepted, held=self._held, refused=refused, reasons=self._refused
        )
        head = counts.model_dump_json().encode().removesuffix(b"}")
        body = head + b',"results":[' + b",".join(self._listed) + b"]}"
        status = HTTPStatus.MULTI_STATUS if refused else HTTPStatus.ACCEPTED
        return Response(body, status_code=status, media_type="application/json")


def _taken(line: Line, fact: Accepted | HeldCorrection) -> LineResult:
    if isinstance(fact, HeldCorrection):
        unknown = ", ".join(fact.unknown)
        return LineResult(
            line=line.number,
            status="held",
            held_id=fact.held_id,
            reason=fact.question.value,
            detail=f"unknown labels: {unknown}"[:1000],
        )
    return LineResult(
        line=line.number,
        status="accepted",
        event_id=fact.event_id,
        revision=fact.revision,
        **line.changes.counts(),
    )
