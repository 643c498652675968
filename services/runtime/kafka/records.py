"""What the broker delivers, before and after it is read."""

from dataclasses import dataclass

from opentelemetry.trace import Span

from services.contracts.events import Event
from services.contracts.identity import ReplayId
from services.contracts.subjects import frame_of
from services.runtime.observability.traces import Headers, ids_of

REPLAY_HEADER = "gazeloop-replay"
"""Tells a replayed record from a new one; its value is the replay's id."""
_LONGEST_ID = 100


@dataclass(frozen=True)
class Record:
    """What the broker delivered, as it was."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    taken_at: float | None = None
    """When the broker took it, in seconds since 1970, where it says so."""
    headers: Headers = ()

    @property
    def replay(self) -> ReplayId | None:
        """The replay of a dead letter that this is; none for any other record."""
        value = dict(self.headers).get(REPLAY_HEADER)
        # Whoever may write to the topic may write a header.
        return ReplayId(value.decode(errors="replace")[:_LONGEST_ID]) if value else None


@dataclass(frozen=True)
class TracedRecord:
    """A record in hand, with its span where it brought a trace."""

    record: Record
    span: Span | None

    def ids(self) -> dict[str, object]:
        """What names it in a line of the log."""
        record = self.record
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        return {**place, **ids_of(self.span)}


@dataclass(frozen=True)
class Parsed(TracedRecord):
    """One that could be read."""

    event: Event

    def ids(self) -> dict[str, object]:
        event = {"event_id": self.event.event_id, "frame_id": frame_of(self.event)}
        return {**event, **super().ids()}
