"""Answers of the HTTP interface: machine-readable reasons for errors, and no stack traces."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.contracts.errors import Invalid, Transient

log = structlog.get_logger(__name__)

LISTED_REFUSALS = 100
"""How many refused lines of a request are listed; all are counted by reason."""
RETRY_AFTER_S = 5
"""`Retry-After` while the broker or a store is down; both restart within a few seconds."""

_STATUS_OF = {
    "too_many_bytes": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_pixels": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_parts": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_values": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "event_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_format": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "duplicate_key": HTTPStatus.BAD_REQUEST,
    "duplicate_id": HTTPStatus.CONFLICT,
    "erased_frame": HTTPStatus.GONE,
    "nothing_known": HTTPStatus.NOT_FOUND,
    "foreign_frame": HTTPStatus.FORBIDDEN,
    "foreign_drive": HTTPStatus.FORBIDDEN,
    "foreign_annotator": HTTPStatus.FORBIDDEN,
}


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reason": "truncated_image", "detail": "the file ends too early"}]
        }
    )

    reason: str
    """snake_case, for programs."""
    detail: str
    """For people."""


class LineResult(BaseModel):
    """The result of one line."""

    line: int
    """Number of the line, from 1. In a vendor's format: of the image, in the body's order; refused
    parts that name no image follow."""
    status: Literal["accepted", "held", "refused"]
    event_id: str | None = None
    revision: int | None = None
    detections_left_out: int | None = None
    """Number of detections beyond the limit per frame, which are those with the lowest scores."""
    scores_clipped: int | None = None
    """Number of scores that rounding had moved above 1, by at most 1e-6, and that count as 1."""
    detections_refused: int | None = None
    """Number of detections in a vendor's format that cannot be read: the frame is not complete."""
    held_id: str | None = None
    reason: str | None = None
    detail: str | None = None


class LineResults(BaseModel):
    """The results of many lines; the broker has acknowledged the accepted ones."""

    accepted: int
    held: int
    refused: int
    reasons: dict[str, int] = {}
    """How many lines were refused for each reason."""
    results: list[LineResult]
    """All accepted and held lines, and the first hundred refused ones."""


class Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.headers = headers


def problem(
    status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a refused request."""
    text = detail.encode(errors="backslashreplace").decode()
    body = Problem(reason=reason, detail=text[:1000]).model_dump()
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def status_of(reason: str) -> HTTPStatus:
    """The HTTP status for a reason."""
    return _STATUS_OF.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY)


def add_answers(app: FastAPI) -> None:
    """Answer every error with a `Problem`."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Invalid, _invalid)
    app.add_exception_handler(Transient, _away)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Refused)
    return problem(exc.status, exc.reason, str(exc), exc.headers)


async def _invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Invalid)
    return problem(status_of(exc.reason), exc.reason, str(exc))


async def _away(request: Request, exc: Exception) -> JSONResponse:
    log.warning("request_put_off", path=request.url.path, error=f"{type(exc).__name__}: {exc}")
    detail = "the broker or a store is away; nothing is confirmed, the same request may be repeated"
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers)


async def _unrouted(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    reason = HTTPStatus(exc.status_code).phrase.lower().replace(" ", "_")
    return problem(exc.status_code, reason, exc.detail, exc.headers)


async def _gone(_: Request, __: Exception) -> JSONResponse:
    return problem(HTTPStatus.BAD_REQUEST, "incomplete_body", "the body ended too early")


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    log.error("request_failed", path=request.url.path, exc_info=exc)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "unexpected error; see the log"
    )
