"""OpenAPI schemas of manually parsed bodies, and of error responses."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.ingest.api.bodies import FrameMetadata, GroundTruth, Predictions
from services.ingest.api.erasures import Erase
from services.ingest.api.requests import NDJSON
from services.runtime.http.answers import Problem

_REFERENCE = "#/components/schemas/{model}"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body does not match its media type, or a part is missing",
        401: "The token is missing or invalid",
        403: "The token has another scope, or an id is outside the vehicle's namespace",
        409: "The frame is known with another image, time or position",
        410: "The frame was erased on request",
        413: "The body, the image or the event is too large",
        415: "The media type is not supported, or the image is neither JPEG nor PNG",
        422: "A value is invalid, or the image is incomplete",
        429: "The rate limit is exceeded; see Retry-After",
        503: "The broker or a store is unavailable; see Retry-After",
    }.items()
}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


FRAME_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "metadata"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "metadata": _reference(FrameMetadata),
                    },
                },
                "encoding": {
                    "image": {"contentType": "image/jpeg, image/png"},
                    "metadata": {"contentType": "application/json"},
                },
            }
        },
    }
}


def record_body(
    model: type[BaseModel], parameters: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The body schema: one record as JSON, or one per line.

    Parameters
    ----------
    parameters : of the query
    """
    content = {media_type: {"schema": _reference(model)} for media_type in _MEDIA_TYPES}
    body = {"requestBody": {"required": True, "content": content}}
    return body | ({"parameters": list(parameters)} if parameters else {})


_MEDIA_TYPES = ("application/json", NDJSON)


def add_schemas(app: FastAPI) -> None:
    """Add the bodies' schemas to the application's OpenAPI document."""
    models: list[type[BaseModel]] = [FrameMetadata, Predictions, GroundTruth, Erase]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"] |= schemas["$defs"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
