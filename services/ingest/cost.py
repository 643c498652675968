"""The cost of parsing a record from outside, estimated before it is parsed."""

from services.contracts.errors import InvalidRecord
from services.runtime.kafka.limits import MAX_EVENT_BYTES

_VALUES_PER_DETECTION = 32
"""Limit on a record's values per kept detection. A detection has 8 values, 13 with a mask, so a
record may have two to three times the detections that are kept. A parsed one takes 700 bytes."""


def check_cost(content: bytes, most: int) -> None:
    """Refuse content that would take too much memory.

    Parameters
    ----------
    most : maximum detections per frame

    Raises
    ------
    InvalidRecord
        `event_too_large` or `too_many_values`.
    """
    if len(content) > MAX_EVENT_BYTES:
        raise InvalidRecord("more than one record may hold", reason="event_too_large")
    # Each value but the first of an object or array follows one of these.
    values = sum(content.count(mark) for mark in (b",", b"{", b"["))
    if values > _VALUES_PER_DETECTION * most:
        detail = f"{values} values; a record of {most} detections has fewer"
        raise InvalidRecord(detail, reason="too_many_values")
