"""The status of a stack as seen from outside: address, lag, members and dead letters."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from services.app.subscriptions import bridge_subscriptions, own_subscriptions
from services.contracts.errors import GazeloopError
from services.contracts.flow import service_of_group
from services.runtime.embedded import stack
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import count_unsettled
from services.runtime.kafka.lag import LagReader, Subscriptions
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Status:
    """What runs, and its lag."""

    data: Path
    kafka: str
    mongodb: str
    lag: Mapping[tuple[str, str], int | None]
    """Records by group and topic; None where the bridge's cluster does not answer."""
    members: Mapping[str, int | None]
    """Running replicas by group; None if the broker does not report them."""
    dead_letters: int

    @property
    def runs(self) -> bool:
        """Whether a broker runs."""
        return bool(self.kafka)

    def document(self) -> dict[str, Any]:
        """The status as a JSON document."""
        return {
            "kafka": self.kafka or None,
            "mongodb": self.mongodb or None,
            "services": {
                service_of_group(group): {
                    "replicas": members,
                    "lag": {topic: lag for (name, topic), lag in self.lag.items() if name == group},
                }
                for group, members in self.members.items()
            },
            "dead_letters": self.dead_letters,
        }


async def read_status(settings: Settings) -> Status:
    """Read the status of the data folder's stack, or of the cluster that the settings name.

    Raises
    ------
    BrokerUnavailable
        It does not answer.
    """
    return await asyncio.to_thread(_read, settings)


def _read(settings: Settings) -> Status:
    stack_addresses = stack.running(settings)
    resolved = stack_addresses.applied_to(settings) if stack_addresses is not None else settings
    if not resolved.kafka:
        return Status(settings.data, "", "", {}, {}, 0)
    broker = BrokerAddress.of(resolved)
    subscriptions = own_subscriptions(resolved)
    with LagReader(broker, resolved) as reader:
        lag = reader.lags(subscriptions)
    bridge = _bridge(resolved)
    return Status(
        data=settings.data,
        kafka=resolved.kafka,
        mongodb=_without_password(resolved.mongodb),
        lag={**lag, **bridge.lag},
        members={**_members(broker, resolved, subscriptions), **bridge.members},
        dead_letters=count_unsettled(broker, resolved),
    )


@dataclass(frozen=True)
class _Bridge:
    lag: Mapping[tuple[str, str], int | None]
    members: Mapping[str, int | None]


def _bridge(settings: Settings) -> _Bridge:
    """Lag and replicas of the bridge, on the cluster that it reads from."""
    subscriptions = bridge_subscriptions(settings)
    if not subscriptions:
        return _Bridge({}, {})
    broker = BrokerAddress.of_bridge(settings)
    try:
        with LagReader(broker, settings) as reader:
            lag = reader.lags(subscriptions)
        return _Bridge(lag, _members(broker, settings, subscriptions))
    except GazeloopError:
        # A foreign cluster that is unavailable must not hide the state of our own.
        unknown = [(group, topic) for group, topics in subscriptions.items() for topic in topics]
        return _Bridge(dict.fromkeys(unknown), dict.fromkeys(subscriptions))


def _members(
    broker: BrokerAddress, settings: Settings, subscriptions: Subscriptions
) -> dict[str, int | None]:
    members: dict[str, int | None] = dict.fromkeys(subscriptions)
    admin = connect_admin(broker, settings)
    try:
        described = admin.describe_groups(list(subscriptions))
    except KafkaError:
        return members  # The in-memory broker does not support this request.
    finally:
        admin.close()
    return members | {
        group: len(group_state["members"]) for group, group_state in described.items()
    }


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url
