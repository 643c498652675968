"""Which partition an event goes to: Kafka's own murmur2 of what it is partitioned by."""

from kafka.partitioner.default import murmur2

from services.contracts.events import Event


def partition_of(event: Event, partitions: int) -> int:
    """The partition, of so many, that carries this event."""
    return partition_of_key(event.partitioned_by(), partitions)


def partition_of_key(key: str, partitions: int) -> int:
    """The partition, of so many, of what is partitioned by this key."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions
