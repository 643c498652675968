"""Threads that a test may leave behind."""

from threading import Thread


def is_of_kafka(thread: Thread) -> bool:
    """Whether kafka-python started it, or a producer that connects by kafka-python."""
    return thread.name.startswith(("kafka-", "producer-"))
