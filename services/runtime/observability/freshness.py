"""How soon an event has its effect in another stage: from the broker's taking it.

A step is given events, not records. What it publishes may follow from any of them, and only it
knows from which: so it asks here when the broker took the one in question.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from services.contracts.events import Event
from services.runtime.kafka.records import Parsed

# By the object: events are compared by all that they say, which takes longer than this is worth.
_taken: ContextVar[dict[int, float] | None] = ContextVar("taken", default=None)


@contextmanager
def in_hand(batch: Sequence[Parsed]) -> Iterator[None]:
    """The times of these are known meanwhile."""
    times = {
        id(parsed.event): parsed.record.taken_at
        for parsed in batch
        if parsed.record.taken_at is not None
    }
    token = _taken.set(times)
    try:
        yield
    finally:
        _taken.reset(token)


def taken_at(event: Event) -> float | None:
    """When the broker took an event of the batch in hand, in seconds since 1970; else none."""
    return (_taken.get() or {}).get(id(event))


def age_s(since: float, now: datetime) -> float:
    """Seconds that have passed; none where the clocks of two machines say fewer."""
    return max(0.0, now.timestamp() - since)
