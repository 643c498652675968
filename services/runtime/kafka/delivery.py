"""Records on their way to the broker, and what a producer must do with them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Protocol, Self

from services.contracts.codec import EventVersion, written
from services.contracts.erasures import MatchesErased
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.partitions import partition_of_key
from services.runtime.observability.traces import Headers
from services.runtime.settings import Settings


@dataclass(frozen=True)
class OutgoingRecord:
    """An encoded record to be published; `partitioned_by` may differ from its key.

    Attributes
    ----------
    partition : where given, the partition; else `partitioned_by` chooses it
    """

    topic: str
    key: bytes
    value: bytes
    partitioned_by: str
    headers: Headers = ()
    partition: int | None = None

    def partition_of(self, partitions: int) -> int:
        """The record's partition, of these."""
        if self.partition is not None:
            return self.partition
        return partition_of_key(self.partitioned_by, partitions)

    @classmethod
    def of(
        cls,
        event: Event,
        version: EventVersion,
        partitions: int = 1,
        headers: Headers = (),
    ) -> list[Self]:
        """The records that carry this event; see `codec.written`.

        Parameters
        ----------
        partitions : of the topic of matches
        """
        records = [
            cls(topic_of(event).name, form.key().encode(), value, form.partitioned_by(), headers)
            for form, value in written(
                event, version, partial(partition_of_key, partitions=partitions)
            )
        ]
        if not isinstance(event, MatchesErased):
            return records
        indices = range(partitions)
        return [replace(item, partition=number) for item in records for number in indices]


class Producer(Protocol):
    """A connected client that publishes idempotently; any thread may call it."""

    def send(self, records: Sequence[OutgoingRecord]) -> "Future[None]":
        """Queue all; may block for a topic's partitions.

        The future ends with the last acknowledgement by all replicas, or with the first error:

        BrokerUnavailable, DeliveryUnconfirmed
            Some may have been sent. This producer must not be used again.
        InvalidRecord
            A record is larger than the broker allows.
        InvalidSettings
            The broker refuses this user.
        """
        ...

    def partitions_of(self, topic: str) -> int:
        """Number of the topic's partitions; may block for it, and raise what `send` may fail by."""
        ...

    def close(self) -> None:
        """Close the connection; everything sent is already acknowledged."""
        ...

    def abandon(self) -> None:
        """Close the connection at once; what is queued fails."""
        ...


Connect = Callable[[BrokerAddress, Settings], Producer]
"""Makes a connected producer.

Raises
------
BrokerUnavailable
    The broker does not answer within `delivery_timeout_s`.
InvalidSettings
    The broker refuses the login.
"""


class Delivery:
    """Counts the acknowledgements of records; `done` ends with the last, or with the first error.

    The producer's own thread calls it, so that no other thread waits for the broker.
    """

    def __init__(self, records: int) -> None:
        self.done: Future[None] = Future()
        self._missing = records
        self._lock = Lock()

    def acknowledge(self) -> None:
        """Count a record that all replicas have."""
        with self._lock:
            self._missing -= 1
            if not self._missing and not self.done.done():
                self.done.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End with this error, unless there was one before."""
        with self._lock:
            if not self.done.done():
                self.done.set_exception(error)
