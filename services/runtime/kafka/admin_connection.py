"""kafka-python's clients: connections that leave no thread behind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from services.contracts.errors import BrokerUnavailable
from services.runtime.kafka.broker import BrokerAddress, translate
from services.runtime.kafka.broker_login import check_login
from services.runtime.settings import Settings


@contextmanager
def closed_on_error() -> Iterator[Callable[..., KafkaNetClient]]:
    """Close the network client of a kafka-python client that cannot be constructed.

    A constructor that does not reach the broker raises, and leaves its I/O thread running and its
    sockets open; nothing else holds a reference by which one could end them. Pass what this yields
    as `kafka_client`.
    """
    clients: list[KafkaNetClient] = []

    def recorded(**options: object) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        return clients[-1]

    try:
        yield recorded
    except BaseException:
        for client in clients:
            client.close()
            client._net.stop()  # noqa: SLF001  # there is no public way
        raise


def connect_admin(broker: BrokerAddress, settings: Settings) -> KafkaAdminClient:
    """A kafka-python admin client; the caller closes it.

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
        with closed_on_error() as network:
            return KafkaAdminClient(
                **broker.client_options,
                kafka_client=network,
                bootstrap_timeout_ms=timeout_ms,
                request_timeout_ms=timeout_ms,
                reconnect_backoff_max_ms=1000,
            )
    except KafkaError as exc:
        raise translate(exc, broker) from exc


class AdminConnection:
    """Connects an admin client at the first use, and again after `reset`.

    One thread uses it. Any thread may close it, also while that one connects: a service that stops
    cancels the task that waits for a thread, which does not end the thread.
    """

    def __init__(self, broker: BrokerAddress, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._lock = Lock()
        self._admin: KafkaAdminClient | None = None
        self._closed = False

    def client(self) -> KafkaAdminClient:
        """The connected client.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer, or the connection is closed.
        InvalidSettings
            The broker refuses the login.
        """
        if self._admin is None and not self._closed:
            # Outside the lock, because connecting may take seconds and closing must not.
            self._keep(connect_admin(self._broker, self._settings))
        if (admin := self._admin) is None:
            raise BrokerUnavailable(f"{self._broker}: the connection is closed")
        return admin

    def _keep(self, admin: KafkaAdminClient) -> None:
        with self._lock:
            if not self._closed:
                self._admin = admin
                return
        admin.close()

    def reset(self) -> None:
        """Close the client; the next use connects a new one."""
        with self._lock:
            admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError):
                admin.close()

    def close(self) -> None:
        """Close the client; there is no next use."""
        self._closed = True
        self.reset()
