from collections.abc import Sequence

from services.contracts.codec import encode
from services.contracts.errors import GazeloopError, InvalidRecord
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.runtime.kafka.limits import largest_value


class InMemoryOutbox:
    """Keeps what is published; fails as it is told to, before it keeps anything."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.failures: list[GazeloopError] = []

    async def publish(self, events: Sequence[Event]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        for event in events:
            topic = topic_of(event).name
            if len(encode(event)) > largest_value(topic):
                raise InvalidRecord(f"{topic}: the event is too large", reason="event_too_large")
        self.published.extend(events)

    async def close(self) -> None:
        """Nothing to let go."""
