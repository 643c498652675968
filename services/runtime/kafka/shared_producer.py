"""A Kafka producer that many publishers share; replaced after an error."""

import asyncio
from concurrent.futures import Future
from threading import Lock, Thread
from typing import TypeVar

from services.contracts.errors import BrokerUnavailable
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import Connect, Producer
from services.runtime.settings import Settings

_AWAY_PATIENCE_S = 1.0
"""How long a publisher waits for a reconnect while the broker is known to be down. A broker that
is up again answers within about 0.2 s; a longer wait would only keep requests, and their bodies,
in memory."""

T = TypeVar("T")


class SharedProducer:
    """Connects at the first use; all callers wait for the same attempt and share its error.

    Parameters
    ----------
    connect : makes a connected producer
    """

    def __init__(self, broker: BrokerAddress, settings: Settings, connect: Connect) -> None:
        self._broker = broker
        self._settings = settings
        self._connect = connect
        self._lock = Lock()
        self._attempt: Future[Producer] | None = None
        self._away = False
        self._closed = False

    async def connected(self) -> Producer:
        """The connected producer.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer, or was down just now and the reconnect is not done.
        InvalidSettings
            The broker refuses the login.
        """
        attempt = self._current()
        patience_s = _AWAY_PATIENCE_S if self._away else self._settings.delivery_timeout_s
        try:
            async with asyncio.timeout(patience_s):
                return await uncancelled(attempt)
        except TimeoutError as exc:
            raise BrokerUnavailable(f"{self._broker}: no connection yet") from exc

    def discard(self, producer: Producer) -> None:
        """Close this producer, failing its pending records; the next use connects a new one."""
        with self._lock:
            attempt = self._attempt
            if attempt is not None and attempt.done() and _result(attempt) is producer:
                self._attempt = None
                self._away = True
        Thread(target=producer.abandon, name="producer-end", daemon=True).start()

    async def close(self) -> None:
        """Close the connection; everything published is already acknowledged."""
        with self._lock:
            attempt, self._attempt = self._attempt, None
            self._closed = True
        if attempt is not None and attempt.done() and (producer := _result(attempt)) is not None:
            await asyncio.to_thread(producer.close)

    def _current(self) -> Future[Producer]:
        with self._lock:
            attempt = self._attempt
            if attempt is None or (attempt.done() and attempt.exception() is not None):
                attempt = self._attempt = Future()
                # A daemon thread, so that the process can exit while the broker is down.
                Thread(
                    target=self._try, args=(attempt,), name="producer-connect", daemon=True
                ).start()
            return attempt

    def _try(self, attempt: "Future[Producer]") -> None:
        try:
            producer = self._connect(self._broker, self._settings)
        except BaseException as exc:  # noqa: BLE001  # raised in the waiting callers
            self._away = True
            attempt.set_exception(exc)
            return
        with self._lock:
            closed = self._closed
            self._away = False
            # Within the lock: `close` then either finds the producer, or leaves it to this thread.
            attempt.set_result(producer)
        if closed:
            producer.close()


def uncancelled(future: "Future[T]") -> "asyncio.Future[T]":
    """A thread's future as an asyncio future; cancelling the wait does not cancel the work."""
    waiter = asyncio.wrap_future(future)
    waiter.add_done_callback(_retrieve)
    return asyncio.shield(waiter)


def _retrieve(waiter: "asyncio.Future[T]") -> None:
    """Retrieve the error, so that asyncio does not log it when no caller waits any more."""
    if not waiter.cancelled():
        waiter.exception()


def _result(attempt: "Future[Producer]") -> Producer | None:
    return None if attempt.exception() is not None else attempt.result()
