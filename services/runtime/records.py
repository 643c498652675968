"""What the broker delivers, before and after it is read."""

from dataclasses import dataclass

from opentelemetry.trace import Span

from services.contracts.events import Event
from services.contracts.subjects import frame_of
from services.runtime.traces import Headers, ids_of


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


@dataclass(frozen=True)
class Arrival:
    """A record in hand, with its span where it brought a trace."""

    record: Record
    span: Span | None

    def ids(self) -> dict[str, object]:
        """What names it in a line of the log."""
        record = self.record
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        return {**place, **ids_of(self.span)}


@dataclass(frozen=True)
class Parsed(Arrival):
    """One that could be read."""

    event: Event

    def ids(self) -> dict[str, object]:
        event = {"event_id": self.event.event_id, "frame_id": frame_of(self.event)}
        return {**event, **super().ids()}
