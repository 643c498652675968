"""The partition of an event: Kafka's murmur2 hash of the event's partitioning key."""

from functools import lru_cache
from typing import Final

from kafka.partitioner.default import murmur2

from services.contracts.events import Event

_KEPT: Final = 4096
"""Keys whose hash is kept: murmur2 is pure Python, and categories and detectors come again with
every frame."""


def partition_of(event: Event, partitions: int) -> int:
    """The partition of this event in a topic of `partitions` partitions."""
    return partition_of_key(event.partitioned_by(), partitions)


def partition_of_key(key: str, partitions: int) -> int:
    """The partition of this key in a topic of `partitions` partitions."""
    return _hash(key) % partitions


@lru_cache(_KEPT)
def _hash(key: str) -> int:
    hashed: int = murmur2(key.encode())
    return hashed & 0x7FFFFFFF
