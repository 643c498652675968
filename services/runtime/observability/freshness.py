"""Measures how long an event takes to have its effect, from the time the broker accepted it.

A step receives events without their records. An event that it publishes may follow from any of
them, and only the step knows which one; this module gives it the broker's time of each event.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from services.contracts.events import Event
from services.runtime.kafka.records import Parsed

# Keyed by identity, because hashing an event's contents is slow.
_taken: ContextVar[dict[int, float] | None] = ContextVar("taken", default=None)


@contextmanager
def in_hand(batch: Sequence[Parsed]) -> Iterator[None]:
    """Make the broker's times of these events available while the context is open."""
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
    """When the broker accepted an event of the current batch, in seconds since 1970, or None."""
    return (_taken.get() or {}).get(id(event))


def age_s(since: float, now: datetime) -> float:
    """Seconds since then; 0 if the difference is negative because two machines' clocks differ."""
    return max(0.0, now.timestamp() - since)
