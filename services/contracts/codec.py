"""Encodes and decodes events as JSON: encoding is strict, decoding ignores unknown fields."""

from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from services.contracts.errors import UnreadableEvent
from services.contracts.events import Event
from services.contracts.topics import BY_NAME


@cache
def _adapter(topic: str) -> TypeAdapter[Any]:
    events = BY_NAME[topic].events
    if len(events) == 1:
        return TypeAdapter(events[0])
    union: Any = reduce(or_, events)  # known at run time only
    return TypeAdapter(Annotated[union, Field(discriminator="type")])


def encode(event: Event) -> bytes:
    """The event's JSON, UTF-8."""
    return event.model_dump_json().encode()


def decode(topic: str, value: bytes | None) -> Event:
    """Decode a record's value from `topic`.

    Raises
    ------
    UnreadableEvent
        The value is not JSON, not an event of the topic, or breaks its schema.
    """
    if value is None:
        raise UnreadableEvent("the record has no value", reason="empty_record")
    try:
        event: Event = _adapter(topic).validate_json(value, extra="ignore")
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise UnreadableEvent(f"{where}: {first['msg']} ({exc.error_count()} in all)") from exc
    return event
