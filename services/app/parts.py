"""Open Gazeloop's stores and broker for a command or for services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from services.app.subscriptions import SUBSCRIPTIONS, topics_created
from services.app.unreadable_letters import UnreadableReporter, unreadable_reported
from services.domain.ports.vectors import VectorReader
from services.runtime.clock import SystemClock
from services.runtime.embedded import stack
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import alter_topics, broker_identity, create_topics
from services.runtime.observability.trace_export import Traces, exporting
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.stores.restore_mark import refuse_half_restored

REVIEW_PATH = "/review"
"""Path of the review page."""
_POLL_S = 0.5
log = structlog.get_logger()

OnLag = Callable[[dict[tuple[str, str], int]], Awaitable[None]]


@dataclass(frozen=True)
class App:
    """Gazeloop's opened parts, for commands.

    Attributes
    ----------
    settings : with the addresses of the embedded parts filled in
    outbox : publishes ingest's events
    addresses : the served addresses by name, of this process or of the stack that it joined
    traces : exports the spans of this process's services
    settle : does this process's deferred work; returns whether there was any
    lasts : whether published events outlive this process, or are consumed in it; not so in a broker
        in memory that was started for a command
    open_vectors : opens the vectors once; None if this process has no access to them
    embeds : whether this process runs the embedder, and so has its libraries
    """

    settings: Settings
    stores: Stores
    outbox: KafkaOutbox
    addresses: Mapping[str, str]
    traces: Traces
    settle: Callable[[], Awaitable[bool]]
    _lag: LagReader
    lasts: bool = True
    open_vectors: Callable[[], VectorReader] | None = None
    embeds: bool = False

    def review(self, path: str) -> str:
        """The URL of a review page, as far as it is known."""
        public = self.settings.public_url.rstrip("/")
        known = (
            self.settings.review_url.rstrip("/")
            or self.addresses.get("review")
            or (public and f"{public}{REVIEW_PATH}")
        )
        return f"{known}{path}" if known else f"{REVIEW_PATH}{path} of a running `gazeloop up`"

    async def lag(self) -> dict[tuple[str, str], int]:
        """Records that each consumer group has not committed yet, by group and topic."""
        return await asyncio.to_thread(self._lag.lags, SUBSCRIPTIONS)

    async def caught_up(self, on_lag: OnLag | None = None) -> None:
        """Wait until no service has work left.

        Parameters
        ----------
        on_lag : awaited about twice a second with the remaining lag
        """
        while True:
            # One read for both, because it takes a dozen requests of the broker.
            while any((lag := await self.lag()).values()):
                if on_lag is not None:
                    await on_lag(lag)
                await asyncio.sleep(_POLL_S)
            if not await self.settle():
                return


async def services_run(settings: Settings) -> bool:
    """Whether services run already: those of a cluster, or of `gazeloop up` on this folder."""
    return bool(settings.kafka) or await asyncio.to_thread(stack.running, settings) is not None


@asynccontextmanager
async def joined(settings: Settings, *, restoring: bool = False) -> AsyncIterator[App]:
    """The parts without services: of a running `gazeloop up`, or started for this context.

    Parameters and errors are those of `opened`.
    """
    run_already = await services_run(settings)
    async with stack.joined(settings) as addresses:
        to = addresses.applied_to(settings)
        review = {"review": addresses.review} if addresses.review else {}
        lasts = run_already or not BrokerAddress.of(to).in_memory
        # As in `deployed`: users of a cluster's services may not create its topics.
        async with opened(to, creating=not settings.kafka, restoring=restoring) as app:
            yield replace(app, addresses=review, lasts=lasts)


@asynccontextmanager
async def opened(
    settings: Settings, *, creating: bool = True, restoring: bool = False
) -> AsyncIterator[App]:
    """The parts that the settings name, without services.

    Parameters
    ----------
    creating : whether to create missing topics, and to alter those that an older version created
    restoring : whether this is the restore that completes stores which were restored in part

    Raises
    ------
    UnfinishedRestore
        A backup was restored in part. A backup of that would count as whole, and what is erased or
        ingested into it would be lost once the restore goes on.
    """
    broker = BrokerAddress.of(settings)
    async with AsyncExitStack() as closing:
        if creating:
            await asyncio.to_thread(create_topics, broker, settings, topics_created(settings))
            alteration = await asyncio.to_thread(alter_topics, broker, settings)
            for difference in alteration.altered:
                log.info("topic_altered", what=str(difference))
            for difference in alteration.left:
                log.warning("topic_differs", what=str(difference), remedy=difference.remedy)
        identity = await asyncio.to_thread(broker_identity, broker, settings)
        stores = await closing.enter_async_context(open_stores(settings, identity))
        if not restoring:
            await refuse_half_restored(stores.database)
        traces = closing.enter_context(exporting(settings))
        outbox = KafkaOutbox("ingest", broker, settings, traces=traces.of("ingest"))
        closing.push_async_callback(outbox.close)
        reporter = UnreadableReporter(stores.unreadable, outbox, SystemClock())
        await closing.enter_async_context(unreadable_reported(reporter, SystemClock()))
        reader = closing.enter_context(LagReader(broker, settings))
        yield App(settings, stores, outbox, {}, traces, _nothing_to_settle, reader)


async def _nothing_to_settle() -> bool:
    return False
