"""The partition of an event: Kafka's murmur2 hash of the event's partitioning key."""

from kafka.partitioner.default import murmur2

from services.contracts.events import Event


def partition_of(event: Event, partitions: int) -> int:
    """The partition of this event in a topic of `partitions` partitions."""
    return partition_of_key(event.partitioned_by(), partitions)


def partition_of_key(key: str, partitions: int) -> int:
    """The partition of this key in a topic of `partitions` partitions."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions
