"""The broker's address, and the options that its clients need to connect."""

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
    """How clients authenticate to the broker, and how they verify it.

    Attributes
    ----------
    tls : whether to connect with TLS
    ca : file of the CA that signs the broker's certificate; None for the system's CAs
    user, password : SASL credentials; without a user, clients stay anonymous
    mechanism : SASL mechanism
    """

    tls: bool = False
    ca: Path | None = None
    user: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))

    mechanism: str = "SCRAM-SHA-512"

    @classmethod
    def of(
        cls, prefix: str, *, tls: bool, ca: Path | None, user: str, password: SecretStr
    ) -> "BrokerAccess":
        """The access that settings with this prefix name; a CA turns TLS on.

        Raises
        ------
        InvalidSettings
            A user has no password.
        """
        if user and not password.get_secret_value():
            raise InvalidSettings(f"{prefix}_PASSWORD is not set, and the user {user} is")
        return cls(tls or ca is not None, ca, user, password)

    @property
    def protocol(self) -> str:
        """Kafka's `security.protocol`."""
        return ("SASL_" if self.user else "") + ("SSL" if self.tls else "PLAINTEXT")

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS context that verifies the broker's certificate and host name.

        Raises
        ------
        InvalidSettings
            The CA file cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as exc:
            raise InvalidSettings(f"GAZELOOP_KAFKA_CA={self.ca}: {exc}") from exc


def translate(exc: KafkaError, broker: "BrokerAddress") -> GazeloopError:
    """Translate kafka-python's error: InvalidSettings if refused, else BrokerUnavailable."""
    message = f"{broker}: {exc}"  # the text of a KafkaError names its class
    if isinstance(exc, _REFUSED_LOGIN):
        return InvalidSettings(not_let_in(broker, message))
    # The idempotent producer wraps an authorization error in a bare KafkaError.
    if isinstance(exc, AuthorizationError) or "AuthorizationFailed" in str(exc):
        return InvalidSettings(not_granted(broker, message))
    return BrokerUnavailable(message)


def not_let_in(broker: "BrokerAddress", detail: str) -> str:
    """The message if Kafka refuses the login."""
    return (
        f"Kafka refuses the login of {_user(broker)}: check GAZELOOP_KAFKA_USER and"
        f" GAZELOOP_KAFKA_PASSWORD ({detail})"
    )


def not_granted(broker: "BrokerAddress", detail: str) -> str:
    """The message if Kafka denies an operation to a user that is logged in."""
    return (
        f"Kafka denies {_user(broker)} this operation: grant what `gazeloop topics acls` prints"
        f" ({detail})"
    )


def not_visible(broker: "BrokerAddress", topic: str) -> str:
    """The message if Kafka names no partition of a topic that must exist."""
    return (
        f"Kafka shows {_user(broker)} no topic {topic}: run `gazeloop topics create`, or grant what"
        " `gazeloop topics acls` prints"
    )


def _user(broker: "BrokerAddress") -> str:
    return broker.access.user or "an anonymous user"


@dataclass(frozen=True)
class BrokerAddress:
    """Bootstrap servers, and whether they are librdkafka's in-memory broker.

    Written in settings as `host:port,host:port`, or `memory://host:port`.
    """

    servers: tuple[str, ...]
    in_memory: bool = False
    access: BrokerAccess = field(default_factory=BrokerAccess)

    @classmethod
    def of(cls, settings: Settings) -> "BrokerAddress":
        """The address and access options from the settings.

        Raises
        ------
        InvalidSettings
            The settings name no server, or a user without a password.
        """
        named = cls.parse(settings.kafka)
        access = BrokerAccess.of(
            "GAZELOOP_KAFKA",
            tls=settings.kafka_tls,
            ca=settings.kafka_ca,
            user=settings.kafka_user,
            password=settings.kafka_password,
        )
        return cls(named.servers, named.in_memory, access)

    @classmethod
    def of_bridge(cls, settings: Settings) -> "BrokerAddress":
        """The cluster of the topic that the bridge reads: its own, or else Gazeloop's.

        Raises
        ------
        InvalidSettings
            The settings name no server, a user without a password, or access to no cluster.
        """
        if not settings.bridge_kafka:
            _refuse_access_without_cluster(settings)
            return cls.of(settings)
        named = cls.parse(settings.bridge_kafka)
        access = BrokerAccess.of(
            "GAZELOOP_BRIDGE_KAFKA",
            tls=settings.bridge_kafka_tls,
            ca=settings.bridge_kafka_ca,
            user=settings.bridge_kafka_user,
            password=settings.bridge_kafka_password,
        )
        return cls(named.servers, named.in_memory, access)

    @classmethod
    def parse(cls, setting: str) -> "BrokerAddress":
        """Parse the value of the setting `kafka`.

        Raises
        ------
        InvalidSettings
            The value is not a list of host:port.
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
        """The address in Faust's format."""
        return ";".join(f"kafka://{server}" for server in self.servers)

    @property
    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for any kafka-python client."""
        # From the in-memory broker's version response, kafka-python infers a much newer broker
        # and then sends requests that this one does not support.
        version = {"api_version": (2, 3)} if self.in_memory else {}
        return {"bootstrap_servers": list(self.servers), **version, **self._access_options}

    @property
    def librdkafka_options(self) -> dict[str, str]:
        """Configuration for any client of librdkafka."""
        access = self.access
        options = {
            "bootstrap.servers": ",".join(self.servers),
            "security.protocol": access.protocol,
        }
        if access.tls and access.ca is not None:
            options["ssl.ca.location"] = str(access.ca)
        if access.user:
            options |= {
                "sasl.mechanism": access.mechanism,
                "sasl.username": access.user,
                "sasl.password": access.password.get_secret_value(),
            }
        return options

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
        """Faust's credentials object; None for an anonymous connection without TLS."""
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


def _refuse_access_without_cluster(settings: Settings) -> None:
    """Refuse settings of the access to a cluster of the bridge's own where none is named."""
    for name in ("user", "password", "tls", "ca"):
        setting = f"bridge_kafka_{name}"
        if getattr(settings, setting) not in (None, False, "", SecretStr("")):
            raise InvalidSettings(
                f"GAZELOOP_{setting.upper()} is set, and GAZELOOP_BRIDGE_KAFKA is not: the bridge"
                " would connect to Gazeloop's own cluster without it"
            )
