"""Track ids and attributes of detections, tags of images, and vectors of both."""

import base64
from typing import Final

import numpy as np
from pydantic import ValidationError

from services.contracts.events import FrameVector
from services.formats import fields
from services.formats.fields import Record

_MAX_TRACK_LENGTH = 100
_MAX_ATTRIBUTES = 16
_MAX_TAGS = 32
_MAX_KEY_LENGTH = 64
_MAX_VALUE_LENGTH = 128
_APPLIED: Final = frozenset({"rotation"})
"""Attributes that the box takes into account."""


def track_id(record: Record) -> str | None:
    """The `track_id` as text, if there is one.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it is no id, or too long.
    """
    value = record.get("track_id")
    if value is None:
        return None
    found = str(fields.key(value))
    if len(found) > _MAX_TRACK_LENGTH or not found.isprintable() or not found.strip():
        raise fields.malformed(f"track_id {found!r:.60} is not an id")
    return found


def attributes(record: Record) -> dict[str, str] | None:
    """The single values in `attributes` as texts; lists and objects in it are left out.

    Raises
    ------
    InvalidRecord
        `malformed_record`: there are more than 16, or one is too long.
    """
    declared = record.get("attributes")
    if not isinstance(declared, dict):
        return None
    found = {
        str(key): _text(value)
        for key, value in declared.items()
        if isinstance(value, str | bool | int | float) and value != "" and key not in _APPLIED
    }
    if len(found) > _MAX_ATTRIBUTES or not all(map(_fits, found, found.values())):
        raise fields.malformed(
            f"attributes are more than {_MAX_ATTRIBUTES}, or longer than {_MAX_KEY_LENGTH} and"
            f" {_MAX_VALUE_LENGTH}"
        )
    return found or None


def tags(record: Record) -> dict[str, str] | None:
    """The single values in an image's `tags` as texts; none without any.

    Raises
    ------
    InvalidRecord
        `malformed_record`: there are more than 32, one is too long, or they are no object.
    """
    declared = record.get("tags")
    if declared is None:
        return None
    if not isinstance(declared, dict):
        raise fields.malformed("tags are not an object of keys and values")
    found = {
        str(key): _text(value)
        for key, value in declared.items()
        if isinstance(value, str | bool | int | float) and value != ""
    }
    if len(found) > _MAX_TAGS or not all(map(_fits, found, found.values())):
        raise fields.malformed(
            f"tags are more than {_MAX_TAGS}, or longer than {_MAX_KEY_LENGTH} and"
            f" {_MAX_VALUE_LENGTH}"
        )
    return found or None


def vector(record: Record) -> FrameVector | None:
    """The `vector`: `{"model": NAME, "values": …}`, as numbers or as an event has them.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it is something else.
    """
    declared = record.get("vector")
    if declared is None:
        return None
    found = fields.record(declared, "vector")
    values = found.get("values")
    if isinstance(values, list):
        numbers = [fields.number(value) for value in values]
        if None in numbers:
            raise fields.malformed("the values of vector are not numbers")
        values = base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
    try:
        return FrameVector.model_validate({"model": found.get("model"), "values": values})
    except ValidationError as exc:
        raise fields.malformed(f"vector: {fields.first_of(exc)}") from exc


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fits(key: str, value: str) -> bool:
    sizes = 0 < len(key) <= _MAX_KEY_LENGTH and len(value) <= _MAX_VALUE_LENGTH
    return sizes and key.isprintable() and value.isprintable()
