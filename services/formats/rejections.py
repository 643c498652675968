"""Rejected records as dead letters."""

from datetime import datetime

from services.contracts.dead_letters import DeadLettered
from services.formats.items import Rejection
from services.runtime.kafka.limits import MAX_EVENT_BYTES


def dead_letter(rejection: Rejection, now: datetime) -> DeadLettered:
    """The rejected record, kept whole as far as a record on the topic may go."""
    return DeadLettered(
        service="ingest",
        reason=rejection.reason,
        detail=_text(rejection.detail),
        location=_text(rejection.location),
        original_value=rejection.raw[:MAX_EVENT_BYTES],
        failed_at=now,
    )


def _text(value: str) -> str:
    # Names out of foreign files may hold halves of characters, which no event can carry.
    return value.encode(errors="backslashreplace").decode()[:2000]
