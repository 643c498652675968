"""The offsets up to which the batch that a step works on was consumed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from services.contracts.events import Event
from services.runtime.kafka.records import Parsed

_NONE: Mapping[str, int] = MappingProxyType({})
_offsets: ContextVar[Mapping[str, int]] = ContextVar("offsets", default=_NONE)
_places: ContextVar[Mapping[int, tuple[str, int]]] = ContextVar(
    "places", default=MappingProxyType({})
)


@contextmanager
def consuming(batch: Sequence[Parsed]) -> Iterator[None]:
    """Make the offsets of this batch available while the context is open."""
    following: dict[str, int] = {}
    places: dict[int, tuple[str, int]] = {}
    for parsed in batch:
        record = parsed.record
        name = f"{record.topic}/{record.partition}"
        following[name] = max(following.get(name, 0), record.offset + 1)
        places[id(parsed.event)] = name, record.offset
    offsets_before, places_before = _offsets.set(following), _places.set(places)
    try:
        yield
    finally:
        _offsets.reset(offsets_before)
        _places.reset(places_before)


def consumed_offsets() -> Mapping[str, int]:
    """The next offset of each `topic/partition` that the current batch has records of."""
    return _offsets.get()


def is_before(event: Event, offsets: Mapping[str, int]) -> bool:
    """Whether an event of the current batch is before these offsets, by `topic/partition`.

    An event that a step has changed has no place, and is before none.
    """
    name, offset = _places.get().get(id(event), ("", 0))
    return offset < offsets.get(name, 0)
