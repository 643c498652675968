"""Records on their way to the broker, and what a producer must do with them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, Self

from services.contracts.codec import EventVersion, in_one_partition, written
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.observability.traces import Headers
from services.runtime.settings import Settings


@dataclass(frozen=True)
class OutgoingRecord:
    """An encoded record to be published; `partitioned_by` may differ from its key."""

    topic: str
    key: bytes
    value: bytes
    partitioned_by: str
    headers: Headers = ()

    @classmethod
    def of(
        cls,
        event: Event,
        version: EventVersion,
        partition: Callable[[str], int] = in_one_partition,
        headers: Headers = (),
    ) -> list[Self]:
        """The records that carry this event; see `codec.written`."""
        return [
            cls(topic_of(event).name, form.key().encode(), value, form.partitioned_by(), headers)
            for form, value in written(event, version, partition)
        ]


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
