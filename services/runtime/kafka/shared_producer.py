"""A Kafka producer that many publishers share; replaced after an error."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, TypeVar

import structlog
from kafka import KafkaProducer
from kafka.errors import InvalidTopicError, KafkaConfigurationError, KafkaError

from services.contracts.errors import BrokerUnavailable
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.broker_login import check_login
from services.runtime.kafka.limits import MAX_DEAD_LETTER_BYTES
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

MISCONFIGURED = (InvalidTopicError, KafkaConfigurationError)
_REQUEST_OVERHEAD = 64 * 1024
_LINGER_MS = 2
_CLOSE_S = 2.0
_AWAY_PATIENCE_S = 1.0
"""How long a publisher waits for a reconnect while the broker is known to be down. A broker that
is up again answers within about 0.2 s; a longer wait would only keep requests, and their bodies,
in memory."""

T = TypeVar("T")
Connect = Callable[[BrokerAddress, Settings], Any]


class SharedProducer:
    """Connects at the first use; all callers wait for the same attempt and share its error.

    Parameters
    ----------
    connect : makes a connected producer; unit tests give one that needs no broker
    """

    def __init__(
        self, broker: BrokerAddress, settings: Settings, *, connect: Connect | None = None
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._connect = connect or connect_producer
        self._lock = Lock()
        self._attempt: Future[Any] | None = None
        self._away = False
        self._closed = False

    async def connected(self) -> Any:
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

    def discard(self, producer: Any) -> None:
        """Close this producer, failing its pending records; the next use connects a new one."""
        with self._lock:
            attempt = self._attempt
            if attempt is not None and attempt.done() and _result(attempt) is producer:
                self._attempt = None
                self._away = True
        Thread(target=_abandon, args=(producer,), name="producer-end", daemon=True).start()

    async def close(self) -> None:
        """Close the connection; everything published is already acknowledged."""
        with self._lock:
            attempt, self._attempt = self._attempt, None
            self._closed = True
        if attempt is not None and attempt.done() and (producer := _result(attempt)) is not None:
            await asyncio.to_thread(_close, producer)

    def _current(self) -> Future[Any]:
        with self._lock:
            attempt = self._attempt
            if attempt is None or (attempt.done() and attempt.exception() is not None):
                attempt = self._attempt = Future()
                # A daemon thread, so that the process can exit while the broker is down.
                Thread(
                    target=self._try, args=(attempt,), name="producer-connect", daemon=True
                ).start()
            return attempt

    def _try(self, attempt: "Future[Any]") -> None:
        try:
            producer = self._connect(self._broker, self._settings)
        except BaseException as exc:  # noqa: BLE001  # raised in the waiting callers
            self._away = True
            attempt.set_exception(exc)
            return
        with self._lock:
            closed = self._closed
            self._away = False
        attempt.set_result(producer)
        if closed:
            _close(producer)


def uncancelled(future: "Future[T]") -> "asyncio.Future[T]":
    """A thread's future as an asyncio future; cancelling the wait does not cancel the work."""
    waiter = asyncio.wrap_future(future)
    waiter.add_done_callback(_retrieve)
    return asyncio.shield(waiter)


def _retrieve(waiter: "asyncio.Future[Any]") -> None:
    """Retrieve the error, so that asyncio does not log it when no caller waits any more."""
    if not waiter.cancelled():
        waiter.exception()


def connect_producer(broker: BrokerAddress, settings: Settings) -> KafkaProducer:
    """A producer that has reached the broker; blocks for `delivery_timeout_s` at most.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the login.
    """
    check_login(broker)
    timeout_ms = int(settings.delivery_timeout_s * 1000)
    try:
        return KafkaProducer(
            **broker.client_options,
            acks="all",
            enable_idempotence=True,  # explicit, so that a conflicting option is an error
            max_request_size=MAX_DEAD_LETTER_BYTES + _REQUEST_OVERHEAD,
            linger_ms=_LINGER_MS,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms // 2,
            max_block_ms=timeout_ms,
            metadata_max_age_ms=int(settings.metadata_max_age_s * 1000),
            bootstrap_timeout_ms=timeout_ms,
            reconnect_backoff_max_ms=1000,
            allow_auto_create_topics=broker.in_memory,
            metrics_enabled=False,
        )
    except MISCONFIGURED:
        raise
    except KafkaError as exc:
        raise translate(exc, broker) from exc


def _result(attempt: "Future[Any]") -> Any | None:
    return None if attempt.exception() is not None else attempt.result()


def _close(producer: Any) -> None:
    try:
        producer.close(timeout=_CLOSE_S)
    except KafkaError:  # `close` flushes first, and raises if the broker is down
        _abandon(producer)


def _abandon(producer: Any) -> None:
    """Close a producer at once, without flushing.

    `KafkaProducer.close` flushes first. If the broker is down, that raises `KafkaTimeoutError`
    before anything is closed, so that the sender thread and its records stay.
    """
    producer._sender.force_close()  # noqa: SLF001  # there is no public way
    try:
        with suppress(KafkaError):
            producer.close(timeout=_CLOSE_S)
    except Exception as exc:  # noqa: BLE001  # the producer is discarded; no caller waits for it
        log.warning("producer_not_closed", error=f"{type(exc).__name__}: {exc}")
