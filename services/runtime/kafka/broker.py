"""A broker's address, and the options that every kafka-python client of it needs."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka.errors import (
    AuthorizationError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from pydantic import SecretStr

from services.contracts.errors import BrokerUnavailable, GazeloopError, InvalidSettings
from services.runtime.settings import Settings

_IN_MEMORY = "memory://"
_REFUSED_LOGIN = (
    IllegalSaslStateError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)


@dataclass(frozen=True)
class BrokerAccess:
    """How a broker knows us, and we it.

    Attributes
    ----------
    tls : whether to speak TLS
    ca : whose signature its certificate must bear; the system's authorities where not given
    user, password : no user: we stay anonymous
    mechanism : how the password is proved
    """

    tls: bool = False
    ca: Path | None = None
    user: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))

    mechanism: str = "SCRAM-SHA-512"

    @property
    def protocol(self) -> str:
        """Kafka's name for it."""
        return ("SASL_" if self.user else "") + ("SSL" if self.tls else "PLAINTEXT")

    def ssl_context(self) -> ssl.SSLContext:
        """What checks the broker's certificate and name.

        Raises
        ------
        InvalidSettings
            The CA's file cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as exc:
            raise InvalidSettings(f"GAZELOOP_KAFKA_CA={self.ca}: {exc}") from exc


def translate(exc: KafkaError, broker: "BrokerAddress") -> GazeloopError:
    """Ours, for what a client of Kafka raises: refused for good, or away for now."""
    message = f"{broker}: {exc}"  # which names its class
    if isinstance(exc, _REFUSED_LOGIN):
        user = broker.access.user or "an anonymous user"
        return InvalidSettings(
            f"Kafka does not let {user} in: check GAZELOOP_KAFKA_USER and"
            f" GAZELOOP_KAFKA_PASSWORD ({message})"
        )
    # The idempotent producer wraps its refusal in a bare KafkaError.
    if isinstance(exc, AuthorizationError) or "AuthorizationFailed" in str(exc):
        user = broker.access.user or "an anonymous user"
        return InvalidSettings(
            f"Kafka lets {user} in, but not to this: grant what `gazeloop topics acls` prints"
            f" ({message})"
        )
    return BrokerUnavailable(message)


@dataclass(frozen=True)
class BrokerAddress:
    """Bootstrap servers, and whether librdkafka's in-memory broker is behind them.

    As a setting: `host:port,host:port`, or `memory://host:port`.
    """

    servers: tuple[str, ...]
    in_memory: bool = False
    access: BrokerAccess = field(default_factory=BrokerAccess)

    @classmethod
    def of(cls, settings: Settings) -> "BrokerAddress":
        """The broker that the settings name, and how they say to speak to it.

        Raises
        ------
        InvalidSettings
            They name no server.
        """
        named = cls.parse(settings.kafka)
        access = BrokerAccess(
            settings.kafka_tls, settings.kafka_ca, settings.kafka_user, settings.kafka_password
        )
        return cls(named.servers, named.in_memory, access)

    @classmethod
    def parse(cls, setting: str) -> "BrokerAddress":
        """The address that the setting names.

        Raises
        ------
        InvalidSettings
            It names no server.
        """
        servers = setting.removeprefix(_IN_MEMORY).split(",")
        if not all(
            host and port.isdigit() for host, _, port in (s.rpartition(":") for s in servers)
        ):
            raise InvalidSettings(f"kafka: {setting!r} is not a list of host:port")
        return cls(tuple(servers), in_memory=setting.startswith(_IN_MEMORY))

    def __str__(self) -> str:
        return (_IN_MEMORY if self.in_memory else "") + ",".join(self.servers)

    @property
    def faust_url(self) -> str:
        """How Faust wants it."""
        return ";".join(f"kafka://{server}" for server in self.servers)

    @property
    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for any kafka-python client."""
        # kafka-python takes the in-memory broker's answer about versions for that of a much
        # newer one and then asks for what it does not have.
        version = {"api_version": (2, 3)} if self.in_memory else {}
        return {"bootstrap_servers": list(self.servers), **version, **self._access_options}

    @property
    def _access_options(self) -> dict[str, Any]:
        access = self.access
        options: dict[str, Any] = {}
        if access.protocol != "PLAINTEXT":
            options["security_protocol"] = access.protocol
        if access.tls:
            options["ssl_context"] = access.ssl_context()
        if access.user:
            options |= {
                "sasl_mechanism": access.mechanism,
                "sasl_plain_username": access.user,
                "sasl_plain_password": access.password.get_secret_value(),
            }
        return options

    @property
    def faust_credentials(self) -> Any:
        """How Faust wants them; None where there are none."""
        import faust  # noqa: PLC0415  # slow, and only consumers need it

        access = self.access
        context = access.ssl_context() if access.tls else None
        if access.user:
            return faust.SASLCredentials(
                mechanism=access.mechanism,
                username=access.user,
                password=access.password.get_secret_value(),
                ssl_context=context,
            )
        return faust.SSLCredentials(context) if context else None
