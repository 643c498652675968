"""Size limits of records, shared by producers, topics and brokers."""

from services.contracts.errors import InvalidRecord
from services.contracts.topics import DEAD_LETTERS

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""A frame's ground truth with masks is below 1 MiB; Kafka's own default is 1 MiB."""

MAX_DEAD_LETTER_BYTES = 12 * 1024 * 1024
"""The largest event, in base64, with its reason and traceback."""

MAX_REQUEST_BYTES = MAX_DEAD_LETTER_BYTES + 64 * 1024
"""The largest record, with what surrounds it in a request."""


def largest_value(topic: str) -> int:
    """Maximum size in bytes of a record's value on this topic."""
    return MAX_DEAD_LETTER_BYTES if topic == DEAD_LETTERS.name else MAX_EVENT_BYTES


def too_large(detail: str) -> InvalidRecord:
    """The error of a record that no topic takes."""
    return InvalidRecord(detail, reason="event_too_large")
