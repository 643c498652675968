"""Gazeloop on a broker and a metadata store, its services as processes that tests kill.

Embedder and retriever share one process, because the Qdrant inside it has one owner; the others run
as in production, one process each. Where GAZELOOP_TEST_QDRANT names a server, it is used instead.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from services.app.subscriptions import SUBSCRIPTIONS
from services.contracts.flow import group_of
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.ports import steady_port
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores
from tests.faults.survey import Publisher
from tests.faults.victims import Victim
from tests.qdrant_server import KEY, URL, emptied_server

_RUN = ("-m", "services.cli.main", "run")
COMMANDS = {
    "ingest": [*_RUN, "ingest"],
    "fp_miner": [*_RUN, "fp_miner"],
    "evaluator": [*_RUN, "evaluator"],
    "embedder": [str(Path(__file__).parent / "embedding.py")],
}
CONSUMERS = ("fp_miner", "evaluator", "embedder")


class Metadata(Protocol):
    """A MongoDB, of one server or several."""

    @property
    def url(self) -> str: ...


@dataclass
class Deployment:
    """The parts, the processes that are killed, and what watches them."""

    settings: Settings
    kafka: EmbeddedKafka
    victims: dict[str, Victim]
    ports: dict[str, int]
    lag: LagReader
    folder: Path

    @property
    def broker(self) -> BrokerAddress:
        return BrokerAddress.parse(self.settings.kafka)

    def committed(self, service: str) -> int:
        """How much a service has committed; it only grows while the service gets work done."""
        group = group_of(service)
        positions = self.lag.positions({group: SUBSCRIPTIONS[group]})[group]
        return sum(position.committed for position in positions.values())

    def caught_up(self) -> bool:
        """Whether no service has any work left."""
        return self.lag.caught_up(SUBSCRIPTIONS)

    def metrics(self, name: str) -> str:
        """What a process exports; nothing while it starts again after a kill."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics").text
        except httpx.TransportError:
            return ""

    def gauges(self, name: str) -> dict[str, float]:
        """A gauge of the evaluator by subset."""
        found = re.findall(
            rf'^{name}\{{.*subset="([^"]+)"\}} (\S+)', self.metrics("evaluator"), re.MULTILINE
        )
        return {subset: float(value) for subset, value in found}

    def exits(self) -> dict[str, list[int]]:
        """How each process has ended by itself; a supervisor starts it again."""
        for victim in self.victims.values():
            victim.tend()
        return {name: victim.exits for name, victim in self.victims.items()}

    def start(self, name: str, **environment: str) -> Victim:
        """One more process of a service, with ports of its own."""
        given = {"GAZELOOP_HTTP_PORT": "0", "GAZELOOP_METRICS_PORT": "0"}
        variables = {**_variables(self.settings), **given, **environment}
        return Victim(COMMANDS[name], self.folder / f"{name}-further.log", variables)


@contextmanager
def deployed(
    folder: Path,
    kafka: EmbeddedKafka,
    metadata: Metadata,
    environment: Mapping[str, str] | None = None,
    logins: Mapping[str, Mapping[str, str]] | None = None,
    **settings: object,
) -> Iterator[Deployment]:
    """All services, started on a broker and a metadata store.

    Parameters
    ----------
    environment : variables of the processes beside the settings
    logins : variables of one process each
    """
    names = [*COMMANDS, "http"]
    ports = {name: steady_port(folder, name) for name in names}
    given = {
        "data": folder / "data",
        "kafka": kafka.bootstrap,
        "mongodb": metadata.url,
        "blobs": (folder / "blobs").as_uri(),
        "http_port": ports["http"],
        "topic_partitions": 4,
        "batch_size": 16,
        "event_version": 2,  # version 1 of a shortlist lacks its epoch
        "reference_share": 0.3,
        "split_by": "frame",
        "rate_limit": "100000/minute",
        "embedder": "gazeloop-small",
        "torch_threads": 1,
        "qdrant": URL,
        "qdrant_api_key": KEY,
    }
    chosen = Settings(**(given | settings))  # type: ignore[arg-type]  # pydantic checks
    broker = BrokerAddress.parse(chosen.kafka)
    create_topics(broker, chosen)
    with ExitStack() as parts:
        parts.enter_context(emptied_server())
        victims = {}
        for name, command in COMMANDS.items():
            port = {"GAZELOOP_METRICS_PORT": str(ports[name])}
            own = (logins or {}).get(name, {})
            variables = {**_variables(chosen), **port, **(environment or {}), **own}
            victim = Victim(command, folder / f"{name}.log", variables)
            victims[name] = parts.enter_context(victim)
        lag = parts.enter_context(LagReader(broker, chosen))
        yield Deployment(chosen, kafka, victims, ports, lag, folder)


def _variables(settings: Settings) -> dict[str, str]:
    given = settings.model_dump(mode="json", exclude_unset=True)
    given["qdrant_api_key"] = settings.qdrant_api_key.get_secret_value()
    return {f"GAZELOOP_{key.upper()}": str(value) for key, value in given.items()}


async def publisher_for(deployment: Deployment, stores: Stores) -> Publisher:
    """A publisher with tokens of its own."""
    tokens = []
    for scope in ("vehicle:v1", "annotation"):
        token, record = issue(scope, SystemClock().now())
        await stores.tokens.add(record)
        tokens.append(token)
    return Publisher(f"http://127.0.0.1:{deployment.ports['http']}", *tokens)
