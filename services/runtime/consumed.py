"""The offsets up to which the batch that a step works on was consumed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from services.runtime.kafka.records import Parsed

_NONE: Mapping[str, int] = MappingProxyType({})
_offsets: ContextVar[Mapping[str, int]] = ContextVar("offsets", default=_NONE)


@contextmanager
def consuming(batch: Sequence[Parsed]) -> Iterator[None]:
    """Make the offsets of this batch available while the context is open."""
    following: dict[str, int] = {}
    for parsed in batch:
        record = parsed.record
        name = f"{record.topic}/{record.partition}"
        following[name] = max(following.get(name, 0), record.offset + 1)
    token = _offsets.set(following)
    try:
        yield
    finally:
        _offsets.reset(token)


def consumed_offsets() -> Mapping[str, int]:
    """The next offset of each `topic/partition` that the current batch has records of."""
    return _offsets.get()
