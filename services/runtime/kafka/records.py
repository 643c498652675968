"""Records as the broker delivers them, and as the runner decodes them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from opentelemetry.trace import Span

from services.contracts.codec import decode
from services.contracts.events import Event
from services.contracts.identity import ReplayId
from services.contracts.subjects import frame_of
from services.runtime.observability.traces import PARENT, Headers, ids_of

REPLAY_HEADER = "gazeloop-replay"
"""Marks a replayed record; its value is the replay's id."""
_MAX_ID_LENGTH = 100


class UnreadableBatch(bytes):
    """The value of the last record of a batch that cannot be read; it holds the reason."""


class TransactionEnd(bytes):
    """The value of a record that stands for the end of a transaction; it holds nothing."""


def size_of(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> int:
    """Bytes of a record's contents."""
    named = sum(len(name) + len(content or b"") for name, content in headers)
    return len(key or b"") + len(value or b"") + named


@dataclass(frozen=True)
class Record:
    """A record as the broker delivered it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    taken_at: float | None = None
    """When the broker accepted it, in seconds since 1970; None if unknown."""
    headers: Headers = ()

    @property
    def replay(self) -> ReplayId | None:
        """The id of the dead-letter replay that sent this record; None for other records."""
        value = dict(self.headers).get(REPLAY_HEADER)
        # The header is untrusted: anyone who may write to the topic may set it.
        return ReplayId(value.decode(errors="replace")[:_MAX_ID_LENGTH]) if value else None

    @property
    def own_headers(self) -> Headers:
        """Those of its producer: a replay has a trace and an id of its own."""
        return tuple(
            (name, value) for name, value in self.headers if name not in {REPLAY_HEADER, PARENT}
        )


class Decoder(Protocol):
    """Decodes the records of a service's topics."""

    def decode(self, record: Record) -> Event:
        """The record's event.

        Raises
        ------
        Invalid
            The record holds none; it becomes a dead letter.
        """
        ...

    def contents(self, record: Record) -> Hashable:
        """What is equal for repeats of a record, of which a batch needs one."""
        ...


class EventDecoder:
    """Decodes the records of our own topics."""

    def decode(self, record: Record) -> Event:
        return decode(record.topic, record.value)

    def contents(self, record: Record) -> Hashable:
        # By their bytes: an event's id takes as long to compute as the event to decode. Different
        # contents under one id are a conflict, which the store refuses, and no duplicates.
        return record.topic, record.value


@dataclass(frozen=True)
class TracedRecord:
    """A record of the current batch, with its span if its headers carry a trace."""

    record: Record
    span: Span | None

    def ids(self) -> dict[str, object]:
        """Log fields that identify the record."""
        record = self.record
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        return {**place, **ids_of(self.span)}


@dataclass(frozen=True)
class Parsed(TracedRecord):
    """A record whose event could be decoded."""

    event: Event

    def ids(self) -> dict[str, object]:
        event = {"event_id": self.event.event_id, "frame_id": frame_of(self.event)}
        return {**event, **super().ids()}
