"""Encodes and decodes events as JSON: encoding is strict, decoding ignores unknown fields."""

from collections.abc import Callable
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from services.contracts import version_1
from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.errors import UnreadableEvent
from services.contracts.events import Event
from services.contracts.matches import FrameMatched
from services.contracts.topics import BY_NAME

EventVersion = int
"""1 or 2."""


@cache
def _adapter(topic: str) -> TypeAdapter[Any]:
    events = BY_NAME[topic].events
    if len(events) == 1:
        return TypeAdapter(events[0])
    union: Any = reduce(or_, (_both_versions(event) for event in events))  # known at run time only
    return TypeAdapter(Annotated[union, Field(discriminator="type")])


def _both_versions(event: type[Event]) -> Any:
    """The type that parses an event: its class, or for FrameMatched the union of both versions."""
    if event is not FrameMatched:
        return event
    both = FrameMatched | version_1.FrameMatched
    return Annotated[both, Field(discriminator="schema_version")]


def encode(event: Event) -> bytes:
    """The event's JSON, UTF-8; a field that is None is left out."""
    return event.model_dump_json(exclude_none=True).encode()


def stored(event: Event) -> bytes:
    """The event's JSON for a store, without its id: computing the id would double the time."""
    return event.model_dump_json(exclude_none=True, exclude={"event_id"}).encode()


def in_one_partition(_: str) -> int:
    """The partition of every key, where events are not divided by it."""
    return 0


def written(
    event: Event, version: EventVersion, partition: Callable[[str], int] = in_one_partition
) -> list[tuple[Event, bytes]]:
    """The records that publish an event in a version: the event of each, and its bytes.

    Parameters
    ----------
    partition : the partition of its topic to which a key belongs
    """
    if isinstance(event, FrameErased | MatchesErased):  # version 1 lacks these; none may be lost
        return [(event, encode(event))]
    if version == 1:
        return [(old, version_1.encode(old)) for old in version_1.downgraded(event)]
    parts = event.divided(partition) if isinstance(event, FrameMatched) else [event]
    return [(part, encode(part)) for part in parts]


def decode(topic: str, value: bytes | None) -> Event:
    """Decode a record's value from `topic`; version 1 is turned into its version 2 form.

    Raises
    ------
    UnreadableEvent
        The value is not JSON, not an event of the topic, or breaks its schema.
    """
    if value is None:
        raise UnreadableEvent("the record has no value", reason="empty_record")
    try:
        # What others publish is as strict as over HTTP: a score is no text, and a flag no number.
        strict = BY_NAME[topic].is_input
        event: Event = _adapter(topic).validate_json(value, extra="ignore", strict=strict)
        return event.upgraded() if isinstance(event, version_1.FrameMatched) else event
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise UnreadableEvent(f"{where}: {first['msg']} ({exc.error_count()} in all)") from exc
