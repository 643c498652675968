"""The HTTP API for images from vehicles, predictions and ground truth."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials
from opentelemetry.trace import NoOpTracerProvider, TracerProvider
from pydantic import BaseModel

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated
from services.domain.chunks import chunks
from services.domain.erasure import erased_frame
from services.domain.namespaces import Vehicle, foreign_frame
from services.domain.ports.held_corrections import HeldCorrection
from services.domain.ports.tokens import TokenStore
from services.formats.corrections import misplaced, stored_sizes
from services.ingest.accepting import Acceptance
from services.ingest.api.bodies import GroundTruth, Predictions, read_body
from services.ingest.api.calling import Credentials
from services.ingest.api.detector_output import PARAMETERS, DetectorOutput
from services.ingest.api.erasures import Erase, EraseFrames, ErasureAnswer
from services.ingest.api.limits import RateLimit, add_limits
from services.ingest.api.lines import (
    LINES_AT_ONCE,
    LINES_PER_REQUEST,
    LineAnswer,
    cost_of,
    parts_of,
    read_bounded,
)
from services.ingest.api.openapi import FRAME_BODY, PROBLEMS, add_schemas, record_body
from services.ingest.api.originals import Originals, originals_route
from services.ingest.api.requests import (
    NDJSON,
    Line,
    Record,
    RecordType,
    media_type,
    read_frame,
    read_record,
    require_json,
)
from services.ingest.correction_holder import CorrectionHolder
from services.ingest.parts import IngestParts
from services.ingest.vehicle_claims import VehicleClaims
from services.runtime.http.answers import LineResults, Refused, add_answers
from services.runtime.http.server import traced
from services.runtime.http.tokens import Authenticator, Caller


class AcceptedRecord(BaseModel):
    """A record that the broker has acknowledged."""

    frame_id: str
    event_id: str
    revision: int
    detections_left_out: int | None = None
    """Number of detections dropped, lowest scores first, because of the limit per frame."""
    scores_clipped: int | None = None
    """Number of scores that exceed 1 by rounding (at most 1e-6) and were stored as 1."""


class HeldRecord(BaseModel):
    """A correction that is stored, and published once its question is answered."""

    frame_id: str
    held: str
    """The question: `unknown_category`."""
    held_id: str
    unknown: list[str]
    """The labels that are no known category."""


def build_http_app(
    parts: IngestParts,
    *,
    tokens: TokenStore,
    holder: CorrectionHolder,
    tracing: TracerProvider | None = None,
    erase: EraseFrames | None = None,
    originals: Originals | None = None,
    more: Sequence[APIRouter] = (),
) -> FastAPI:
    """Build the HTTP API.

    Parameters
    ----------
    holder : holds corrections that raise a question
    tracing : provider for request traces; None turns traces off
    erase : erases frames for operators; None refuses them
    originals : original images for who may see them; None shows them to nobody
    more : additional routes

    Raises
    ------
    InvalidSettings
        The rate limit is invalid.
    """
    app = FastAPI(
        title="Gazeloop ingest",
        version="1",
        description="202 means that the broker has acknowledged; every request may be repeated.",
        docs_url=None,
        redoc_url=None,
        telemetry=traced(tracing or NoOpTracerProvider()),
    )
    add_answers(app)
    add_limits(app, parts.settings.max_body_bytes)
    callers, rate = Authenticator(tokens, parts.clock), RateLimit(parts.settings.rate_limit)
    api = _Api(parts, Acceptance(parts, holder), callers, rate, erase=erase)
    shown = [originals_route(originals, api.caller)] if originals else []
    for router in (api.router(), *shown, *more):
        app.include_router(router)
    app.add_api_route("/healthz", _healthz, methods=["GET"])
    add_schemas(app)
    return app


async def _healthz() -> dict[str, str]:
    """Whether requests are answered."""
    return {"status": "ok"}


class _Api:
    def __init__(
        self,
        parts: IngestParts,
        acceptance: Acceptance,
        callers: Authenticator,
        rate: RateLimit,
        *,
        erase: EraseFrames | None,
    ) -> None:
        self._parts = parts
        self._acceptance = acceptance
        self._claims = VehicleClaims(parts.ledger)
        self._callers = callers
        self._rate = rate
        self._most = parts.settings.max_detections_per_frame
        self._erase = erase

    def router(self) -> APIRouter:
        router = APIRouter(responses=PROBLEMS)
        add = router.add_api_route
        common: dict[str, Any] = {
            "methods": ["POST"],
            "status_code": HTTPStatus.ACCEPTED,
            "response_model_exclude_none": True,
        }
        add("/v1/frames", self.frames, openapi_extra=FRAME_BODY, **common)
        common["responses"] = {
            207: {"model": LineResults, "description": "Some lines were refused"}
        }
        common["response_model"] = AcceptedRecord | HeldRecord | LineResults
        predicted = record_body(Predictions, PARAMETERS)
        add("/v1/predictions", self.predictions, openapi_extra=predicted, **common)
        erasing: dict[str, Any] = {"methods": ["POST"], "openapi_extra": record_body(Erase)}
        add("/v1/erasures", self.erasures, **erasing)
        add("/v1/ground-truth", self.ground_truth, openapi_extra=record_body(GroundTruth), **common)
        return router

    async def frames(self, request: Request, credentials: Credentials) -> AcceptedRecord:
        """Publish one frame: its image and metadata."""
        vehicle = _vehicle(await self.caller(credentials))
        content, metadata = await read_frame(request)
        if metadata.vehicle_id not in {None, vehicle.vehicle_id}:
            detail = f"the token does not belong to vehicle {metadata.vehicle_id}"
            raise Refused(HTTPStatus.FORBIDDEN, "foreign_vehicle", detail)
        accepted = await self._acceptance.frame(content, metadata, vehicle)
        return AcceptedRecord(**asdict(accepted))

    async def predictions(
        self, request: Request, credentials: Credentials
    ) -> AcceptedRecord | HeldRecord | Response:
        """Publish a detector's predictions on one frame, or on many as NDJSON.

        With `format`, the body is the detector's output as its vendor's software writes it, and the
        answer has a result per image, and one per refused part that names no image.
        """
        caller = await self.caller(credentials)
        output = DetectorOutput.of(request.query_params, _vehicle(caller))
        if output is not None:
            return await self._output(request, output, caller)
        return await self._records(request, Predictions, caller)

    async def ground_truth(
        self, request: Request, credentials: Credentials
    ) -> AcceptedRecord | HeldRecord | Response:
        """Publish the ground truth of one frame, or of many as NDJSON."""
        caller = await self.caller(credentials)
        if caller.person is None:
            raise Refused(
                HTTPStatus.FORBIDDEN, "wrong_scope", "this route needs an annotation token"
            )
        return await self._records(request, GroundTruth, caller)

    async def erasures(self, request: Request, credentials: Credentials) -> ErasureAnswer:
        """Delete all that is known of frames, a drive or a vehicle, and keep it out."""
        caller = await self.caller(credentials)
        if caller.scope.operator is None:
            raise Refused(HTTPStatus.FORBIDDEN, "wrong_scope", "this route needs an operator token")
        if self._erase is None:
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, "no_erasures", "this server erases nothing")
        require_json(request)
        wanted = read_body(Erase, bytes(await read_bounded(request)))
        return await self._erase(wanted.checked(), caller.scope.operator)

    async def caller(self, credentials: HTTPAuthorizationCredentials | None) -> Caller:
        """Find who sends a request, and limit their rate."""
        caller = credentials and await self._callers.caller(credentials.credentials)
        if not caller:
            detail = "this route needs a valid bearer token"
            headers = {"WWW-Authenticate": "Bearer"}
            raise Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers)
        self._rate.spend(caller.token_id)
        return caller

    async def _records(
        self, request: Request, kind: RecordType, caller: Caller
    ) -> AcceptedRecord | HeldRecord | Response:
        require_json(request)
        body = await read_bounded(request)
        if media_type(request) == NDJSON:
            self._rate.spend(caller.token_id, cost_of(body))
            parts = parts_of(body, kind, self._most)
            return await self._lines(await self._fitting(part, caller) async for part in parts)
        read = await asyncio.to_thread(read_record, kind, bytes(body), self._most)
        (line,) = await self._fitting([Line(1, *read)], caller)
        if isinstance(line.content, InvalidRecord):
            raise line.content
        (fact,) = await self._acceptance.publish([line.content])
        if isinstance(fact, HeldCorrection):
            return HeldRecord(
                frame_id=fact.frame_id,
                held=fact.question.value,
                held_id=fact.held_id,
                unknown=list(fact.unknown),
            )
        if changes := line.changes.counts():
            return JSONResponse(asdict(fact) | changes, status_code=HTTPStatus.ACCEPTED)
        return AcceptedRecord(**asdict(fact))

    async def _output(self, request: Request, output: DetectorOutput, caller: Caller) -> Response:
        require_json(request)
        body = bytes(await read_bounded(request))
        images = await asyncio.to_thread(output.read, body, self._parts.image_limits, self._most)
        self._rate.spend(caller.token_id, (images.results - 1) // LINES_PER_REQUEST)
        frames = await asyncio.to_thread(output.frames, images)
        ids = [frame for frame in frames.values() if not isinstance(frame, InvalidRecord)]
        sizes = await stored_sizes(ids, self._parts.frames)
        lines = await asyncio.to_thread(output.lines, images, frames, sizes)
        # Already fitted to their images.
        parts = chunks(lines, LINES_AT_ONCE)
        return await self._lines(await self._allowed(part, caller) for part in parts)

    async def _lines(self, parts: AsyncIterator[list[Line]]) -> Response:
        answer = LineAnswer()
        async for lines in parts:
            records = [line.content for line in lines if isinstance(line.content, Record)]
            answer.add(lines, await self._acceptance.publish(records) if records else [])
        return answer.response()

    async def _fitting(self, lines: Sequence[Line], caller: Caller) -> list[Line]:
        """The lines, with those refused that the caller may not publish, or of another image."""
        return await self._placed(await self._allowed(lines, caller))

    async def _allowed(self, lines: Sequence[Line], caller: Caller) -> list[Line]:
        """The lines, with those refused that the caller may not publish."""
        lines = await self._not_erased(lines)
        if caller.vehicle is None:
            return [_signed(line, caller.person) for line in lines]
        return await self._owned(lines, caller.vehicle)

    async def _not_erased(self, lines: Sequence[Line]) -> list[Line]:
        """The lines, with those refused that are about an erased frame."""
        named = {line.content.frame_id for line in lines if isinstance(line.content, Record)}
        erased = await self._parts.tombstones.erased(named)
        return [
            Line(line.number, erased_frame(line.content.frame_id))
            if isinstance(line.content, Record) and line.content.frame_id in erased
            else line
            for line in lines
        ]

    async def _placed(self, lines: Sequence[Line]) -> list[Line]:
        """The lines, with records refused that cannot belong to their images."""
        contents = enumerate(line.content for line in lines)
        records = {at: content for at, content in contents if isinstance(content, Record)}
        faults = await misplaced(list(records.values()), self._parts.frames)
        placed = list(lines)
        for at, fault in zip(records, faults, strict=True):
            if fault is not None:
                placed[at] = Line(lines[at].number, fault)
        return placed

    async def _owned(self, lines: Sequence[Line], vehicle: Vehicle) -> list[Line]:
        """The lines, with those about another vehicle's frames refused."""
        frames = list({line.content.frame_id for line in lines if isinstance(line.content, Record)})
        owned = dict(zip(frames, await self._claims.claimed(frames, vehicle), strict=True))
        return [
            line
            if isinstance(line.content, InvalidRecord) or owned[line.content.frame_id]
            else Line(line.number, foreign_frame(line.content.frame_id, vehicle))
            for line in lines
        ]


def _vehicle(caller: Caller) -> Vehicle:
    if caller.vehicle is None:
        raise Refused(HTTPStatus.FORBIDDEN, "wrong_scope", "this route needs a vehicle's token")
    return caller.vehicle


def _signed(line: Line, person: str | None) -> Line:
    """The line, signed with the token's person; refused if it names another person."""
    record = line.content
    if not isinstance(record, FrameAnnotated):
        return line
    if record.annotated_by not in {None, person}:
        detail = (
            f"annotated_by must be the token's person, {person}: omit it, or use a token that"
            f" `gazeloop tokens create annotation:NAME` creates for {record.annotated_by}"
        )
        return Line(line.number, InvalidRecord(detail, reason="foreign_annotator"))
    return Line(line.number, record.model_copy(update={"annotated_by": person}))
