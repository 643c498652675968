"""Checks once whether the broker accepts the configured credentials.

kafka-python does not distinguish a wrong password or certificate from a broker that is down: it
retries until its timeout and then reports only the timeout.
"""

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError as LoginError

from services.contracts.errors import InvalidSettings
from services.runtime.kafka.broker import BrokerAddress

_TIMEOUT_MS = 5000
_CLOSE_S = 5.0


def check_login(broker: BrokerAddress) -> None:
    """Return if the broker accepts the login, is unreachable, or needs neither TLS nor a user.

    Blocks; keep it off the event loop.

    Raises
    ------
    InvalidSettings
        The broker's certificate is not trusted, or it refuses the user or the password.
    """
    if broker.access.protocol == "PLAINTEXT":
        return
    # A separate thread, because the caller's thread may already run an event loop.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(_log_in(broker))).result()


async def _log_in(broker: BrokerAddress) -> None:
    access = broker.access
    host, _, port = broker.servers[0].rpartition(":")
    connection = AIOKafkaConnection(
        host,
        int(port),
        request_timeout_ms=_TIMEOUT_MS,
        security_protocol=access.protocol,
        ssl_context=access.ssl_context() if access.tls else None,
        sasl_mechanism=access.mechanism if access.user else None,
        sasl_plain_username=access.user or None,
        sasl_plain_password=access.password.get_secret_value() or None,
    )
    try:
        await connection.connect()
    except ssl.SSLCertVerificationError as exc:
        raise InvalidSettings(
            f"{broker}: Kafka's certificate is not trusted: {exc.verify_message};"
            " renew it, or correct GAZELOOP_KAFKA_CA"
        ) from exc
    except (OSError, TimeoutError):
        return  # unreachable; the caller's own connection attempt reports it
    except LoginError as exc:
        await _closed(connection)
        if not exc.retriable:
            raise InvalidSettings(
                f"{broker}: Kafka refuses the login of {access.user}: check GAZELOOP_KAFKA_USER and"
                f" GAZELOOP_KAFKA_PASSWORD ({type(exc).__name__})"
            ) from exc
    else:
        await _closed(connection)


async def _closed(connection: AIOKafkaConnection) -> None:
    # Await the close: a transport whose event loop ends first is never closed.
    with suppress(TimeoutError):
        await asyncio.wait_for(connection.close(), _CLOSE_S)
