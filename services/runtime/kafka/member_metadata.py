"""What a member of a consumer group knows of its topics; Faust has no public way to ask."""

from typing import Any


def partition_count(topic: str, consumer: Any) -> int:
    """How many partitions a topic has, by this member's own metadata.

    Faust's `topic_partitions` asks what only the leader of the group has: to every other replica a
    topic would have none, and it would own nothing.

    Parameters
    ----------
    consumer : Faust's, started
    """
    partitions = consumer._thread._consumer.partitions_for_topic(topic)  # noqa: SLF001
    return len(partitions or ())


def request_metadata(consumer: Any) -> None:
    """Have this member ask the broker for its topics now; where they differ, the group rejoins.

    Parameters
    ----------
    consumer : Faust's, started
    """
    thread = consumer._thread  # noqa: SLF001
    client = thread._consumer._client  # noqa: SLF001
    thread.thread_loop.call_soon_threadsafe(client.force_metadata_update)
