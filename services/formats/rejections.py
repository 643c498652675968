"""Convert rejections to dead letters."""

from datetime import datetime

from services.contracts.dead_letters import DeadLettered
from services.formats.items import Rejection
from services.runtime.kafka.limits import MAX_EVENT_BYTES


def dead_letter(rejection: Rejection, now: datetime, service: str = "ingest") -> DeadLettered:
    """The dead letter of a rejected record, with its content up to the topic's size limit."""
    return DeadLettered(
        service=service,
        reason=rejection.reason,
        detail=_text(rejection.detail),
        location=_text(rejection.location),
        original_value=rejection.raw[:MAX_EVENT_BYTES],
        failed_at=now,
    )


def _text(value: str) -> str:
    # Names from foreign files may contain lone surrogates, which an event cannot encode.
    return value.encode(errors="backslashreplace").decode()[:2000]
