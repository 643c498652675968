"""Build the service that sends shortlists to receivers: one consumer for each."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import structlog

from services.annotation.webhooks.receivers import receivers_of
from services.annotation.webhooks.service import DeliverShortlists
from services.app.consumers.building import BuiltService, Parts, connected
from services.contracts.flow import READS, WEBHOOKS
from services.domain.ports.erasure import TombstoneStore
from services.runtime.clock import Clock
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.observability.trace_export import Traces
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it.

    Raises
    ------
    InvalidSettings
        A receiver is wrongly configured.
    """
    async with webhook_consumers(
        parts.stores.tombstones, parts.settings, parts.clock, parts.traces
    ) as consumers:
        yield BuiltService(consumers)


@asynccontextmanager
async def webhook_consumers(
    tombstones: TombstoneStore, settings: Settings, clock: Clock, traces: Traces
) -> AsyncIterator[list[ConsumingService]]:
    """One consumer per configured webhook receiver; not started yet.

    Raises
    ------
    InvalidSettings
        A receiver is wrongly configured.
    """
    receivers = receivers_of(settings)
    log.info("webhook_receivers", names=[receiver.name for receiver in receivers])
    # Batches of one: a failed batch is retried whole, which would repeat deliveries.
    one_by_one = settings.model_copy(update={"batch_size": 1})
    async with AsyncExitStack() as closing:
        http = await closing.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        consumers = []
        for receiver in receivers:
            connection = connected(receiver.service, settings, clock, traces)
            client = await closing.enter_async_context(connection)
            step = DeliverShortlists(receiver, http, settings, clock)
            served = ErasedFramesLeftOut(receiver.service, step, tombstones, client.outbox)
            consumers.append(client.consumer(READS[WEBHOOKS], served, settings=one_by_one))
        yield consumers
