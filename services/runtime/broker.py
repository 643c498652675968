"""A broker's address, and the options that every kafka-python client of it needs."""

from dataclasses import dataclass
from typing import Any

from services.contracts.errors import InvalidSettings

_IN_MEMORY = "memory://"


@dataclass(frozen=True)
class BrokerAddress:
    """Bootstrap servers, and whether librdkafka's in-memory broker is behind them.

    As a setting: `host:port,host:port`, or `memory://host:port`.
    """

    servers: tuple[str, ...]
    in_memory: bool = False

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
        return {"bootstrap_servers": list(self.servers), **version}
