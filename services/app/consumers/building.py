"""The parts from which a process builds its consuming services, and the result."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from services.contracts.topics import Topic
from services.domain.ports.vectors import VectorStore
from services.runtime.clock import Clock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import AssignmentListener, ConsumingService
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.records import Decoder
from services.runtime.observability.trace_export import Traces
from services.runtime.progress import Progress
from services.runtime.settings import Settings
from services.runtime.step import Step
from services.runtime.stores.opening import Stores


class BrokerClient:
    """A service's connection to the broker, under its own name and with its own grants.

    Parameters
    ----------
    service : its name; every receiver of webhooks has its own name
    """

    def __init__(self, service: str, settings: Settings, clock: Clock, traces: Traces) -> None:
        self._service = service
        self._settings = settings
        self._clock = clock
        self._broker = BrokerAddress.of(settings)
        self._traces = traces.of(service)
        self.outbox = KafkaOutbox(
            service, self._broker, settings, connect=connect_librdkafka, traces=self._traces
        )

    def consumer(
        self,
        topics: Sequence[Topic],
        step: Step,
        *,
        settings: Settings | None = None,
        decoder: Decoder | None = None,
        listener: AssignmentListener | None = None,
        progress: Progress | None = None,
        broker: BrokerAddress | None = None,
    ) -> ConsumingService:
        """A consumer of these topics; its settings and broker are the process's unless given."""
        return ConsumingService(
            self._service,
            topics,
            step,
            outbox=self.outbox,
            broker=broker or self._broker,
            settings=settings or self._settings,
            clock=self._clock,
            decoder=decoder,
            listener=listener,
            traces=self._traces,
            progress=progress,
        )


@asynccontextmanager
async def connected(
    service: str, settings: Settings, clock: Clock, traces: Traces
) -> AsyncIterator[BrokerClient]:
    """The service's connection, closed with the context."""
    client = BrokerClient(service, settings, clock, traces)
    try:
        yield client
    finally:
        await client.outbox.close()


@dataclass(frozen=True)
class Parts:
    """What the consuming services of a process share.

    Attributes
    ----------
    open_vectors : the vector store, which is opened at the first call
    turn : is held by a background job that reads all records
    fill_settings : the settings of a second embedder, whose vectors are filled too
    """

    stores: Stores
    settings: Settings
    clock: Clock
    traces: Traces
    open_vectors: Callable[[], VectorStore]
    fill_settings: Settings | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def connected(self, service: str) -> AbstractAsyncContextManager[BrokerClient]:
        """The service's connection to the broker, closed with the context."""
        return connected(service, self.settings, self.clock, self.traces)


@dataclass(frozen=True)
class BuiltService:
    """A service that is not started yet.

    Attributes
    ----------
    consumers : one, or one per receiver of webhooks
    settle : does deferred work, and returns whether there was any; None where none is deferred
    """

    consumers: Sequence[ConsumingService]
    settle: Callable[[], Awaitable[bool]] | None = None


Build = Callable[[Parts], AbstractAsyncContextManager[BuiltService]]
"""Builds a service. Its background work runs while the context is open."""
