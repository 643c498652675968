"""The interfaces of a consuming service: a step over batches of events, and its outbox."""

from collections.abc import Sequence
from typing import Protocol

from services.contracts.events import Event


class Step(Protocol):
    """The work of one service on a batch.

    The runner calls `run` again with the same events after a crash, and with each event alone
    when the batch as a whole raised `Invalid`: every effect must be idempotent, and what to
    publish must follow from durable state, not from what this call changed.
    """

    async def run(self, events: Sequence[Event]) -> None:
        """Write, then publish; return once all of it is durable and acknowledged.

        Raises
        ------
        Transient
            A store or the broker is down; the runner calls again with the same batch.
        Invalid
            An event of the batch can never be processed.
        """
        ...


class Outbox(Protocol):
    """Publishes events to the broker."""

    async def publish(self, events: Sequence[Event]) -> None:
        """Send all and return once the broker has acknowledged every one.

        Raises
        ------
        BrokerUnavailable, DeliveryUnconfirmed
            Some may have been sent; sending all again is harmless.
        """
        ...
