"""The offsets of the records that a step works on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from services.contracts.events import Event
from services.runtime.kafka.records import Parsed, Record

_NONE: Mapping[str, range] = MappingProxyType({})
_offsets: ContextVar[Mapping[str, range]] = ContextVar("offsets", default=_NONE)
_places: ContextVar[Mapping[int, tuple[str, int]]] = ContextVar(
    "places", default=MappingProxyType({})
)


@contextmanager
def consuming(batch: Sequence[Parsed], skipped: Sequence[Record] = ()) -> Iterator[None]:
    """Make the offsets of this batch available while the context is open.

    Parameters
    ----------
    skipped : records that came with it and need no work: unreadable or repeated ones
    """
    offsets: dict[str, range] = {}
    for record in (*(parsed.record for parsed in batch), *skipped):
        name, offset = _name(record), record.offset
        known = offsets.get(name, range(offset, offset + 1))
        offsets[name] = range(min(known.start, offset), max(known.stop, offset + 1))
    places = {id(parsed.event): (_name(parsed.record), parsed.record.offset) for parsed in batch}
    offsets_before, places_before = _offsets.set(offsets), _places.set(places)
    try:
        yield
    finally:
        _offsets.reset(offsets_before)
        _places.reset(places_before)


def _name(record: Record) -> str:
    return f"{record.topic}/{record.partition}"


def consumed_offsets() -> Mapping[str, range]:
    """From the first to the last record of the current batch, by `topic/partition`."""
    return _offsets.get()


def place_of(event: Event) -> tuple[str, int] | None:
    """The `topic/partition` and offset of an event of the current batch.

    None for an event that a step has changed.
    """
    return _places.get().get(id(event))
