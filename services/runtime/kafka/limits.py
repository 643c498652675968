"""Size limits of records, shared by producers, topics and brokers."""

from services.contracts.topics import DEAD_LETTERS

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""A frame's ground truth with masks is below 1 MiB; Kafka's own default is 1 MiB."""

MAX_DEAD_LETTER_BYTES = 12 * 1024 * 1024
"""The largest event, in base64, with its reason and traceback."""


def largest_value(topic: str) -> int:
    """Maximum size in bytes of a record's value on this topic."""
    return MAX_DEAD_LETTER_BYTES if topic == DEAD_LETTERS.name else MAX_EVENT_BYTES
