"""Build the consuming services from their parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog

from services.annotation.label_studio.service import RecordShortlists
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.annotation.webhooks.receivers import Receiver, names_of, receivers_of
from services.annotation.webhooks.service import DeliverShortlists
from services.app.family_marking import mark_families
from services.app.filling import filled_in_background, filler
from services.app.label_studio_parts import carrying
from services.app.repeating import Ticker, attempted, going_on, repeated
from services.app.when_changed import WhenChanged, epochs_closed
from services.contracts.flow import LABEL_STUDIO, READS, WEBHOOKS
from services.domain.ports.vectors import REGION_VECTORS, VectorStore, live_model
from services.embedder.models.choosing import embedder_of
from services.embedder.service import EmbedFrames
from services.evaluator.live.service import EvaluateMatches
from services.fp_miner.service import MineNeedles
from services.retriever.service import PublishShortlists
from services.runtime.clock import Clock
from services.runtime.embedded.embedders import note_embedder
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability.trace_export import Traces
from services.runtime.observability.traces import ServiceTraces
from services.runtime.progress import Progress, progress_of
from services.runtime.settings import Settings
from services.runtime.step import Outbox, Step
from services.runtime.stores.opening import Stores
from services.runtime.stores.vectors_open import open_vector_store


@dataclass(frozen=True)
class Parts:
    """The parts of services; all services of a process share one vector store."""

    stores: Stores
    settings: Settings
    clock: Clock
    traces: Traces
    open_vectors: Callable[[], VectorStore]


log = structlog.get_logger(__name__)

_FAMILIES_S = 15.0
_BUDGETS_S = 15.0
Builder = Callable[[Parts, Outbox], Step]


def _embedder(parts: Parts, outbox: Outbox) -> Step:
    embedder = embedder_of(parts.settings)
    note_embedder(parts.settings, embedder.model_id)
    return EmbedFrames(
        embedder,
        parts.stores.embeddings,
        parts.stores.frames,
        parts.stores.blobs,
        parts.open_vectors(),
        outbox=outbox,
        settings=parts.settings,
        clock=parts.clock,
    )


def _fp_miner(parts: Parts, outbox: Outbox) -> Step:
    return MineNeedles(
        frames=parts.stores.frames,
        matches=parts.stores.matches,
        shortlists=parts.stores.shortlists,
        outbox=outbox,
        settings=parts.settings,
        clock=parts.clock,
    )


def _retriever(parts: Parts, outbox: Outbox) -> Step:
    return PublishShortlists(
        frames=parts.stores.frames,
        matches=parts.stores.matches,
        needles=parts.stores.needles,
        vectors=parts.open_vectors(),
        epochs=parts.stores.epochs,
        openings=parts.stores.openings,
        budgets=parts.stores.budgets,
        outbox=outbox,
        settings=parts.settings,
        clock=parts.clock,
    )


def _evaluator(parts: Parts, _: Outbox) -> EvaluateMatches:
    return EvaluateMatches(matches=parts.stores.matches, settings=parts.settings, clock=parts.clock)


def _label_studio(parts: Parts, _: Outbox) -> Step:
    return RecordShortlists(AnnotationStores.of(parts.stores).annotation_tasks)


_BUILDERS: Mapping[str, Builder] = {
    "embedder": _embedder,
    "fp_miner": _fp_miner,
    "retriever": _retriever,
    "evaluator": _evaluator,
    LABEL_STUDIO: _label_studio,
}
_NAMED_BY: Mapping[str, str] = {
    WEBHOOKS: "name receivers in GAZELOOP_WEBHOOKS (docs/webhooks.md), and start it again",
    LABEL_STUDIO: "set GAZELOOP_LABEL_STUDIO_URL (docs/label-studio.md), and start it again",
}
"""How to enable an optional service, for messages."""


@dataclass(frozen=True)
class Consumers:
    """Consuming services with their steps."""

    services: Sequence[ConsumingService]
    steps: Sequence[Step]

    async def settle(self) -> bool:
        """Do deferred work; return whether there was any."""
        retrievers = [step for step in self.steps if isinstance(step, PublishShortlists)]
        return any([await retriever.settle() for retriever in retrievers])


@asynccontextmanager
async def consumers(
    names: Sequence[str],
    stores: Stores,
    settings: Settings,
    clock: Clock,
    *,
    traces: Traces,
    fill_settings: Settings | None = None,
) -> AsyncIterator[Consumers]:
    """Build these services with all their parts; they are not started yet.

    Parameters
    ----------
    fill_settings : the settings of a second embedder, filled while the context is open
    """
    async with AsyncExitStack() as closing:
        parts = Parts(stores, settings, clock, traces, _vectors_opened_once(settings, closing))
        asked_for = [name for name in names if is_asked_for(name, settings)]
        wanted = [name for name in asked_for if name in _BUILDERS]
        built = [await _consumer(name, parts, closing) for name in wanted]
        services = [service for service, _ in built]
        if WEBHOOKS in asked_for:
            services += await closing.enter_async_context(
                webhook_consumers(settings, clock, traces)
            )
        if fill_settings is not None:
            await _fill_in_background(fill_settings, parts, closing)
        yield Consumers(services, [step for _, step in built])


def is_asked_for(name: str, settings: Settings) -> bool:
    """Whether a service has anything to do; optional ones only if the settings name their target.

    Raises
    ------
    InvalidSettings
        The setting of webhook receivers is unreadable.
    """
    if name == WEBHOOKS:
        return bool(names_of(settings))
    return name != LABEL_STUDIO or bool(settings.label_studio_url)


def warn_where_idle(name: str, settings: Settings) -> None:
    """Log what an idle service waits for. It keeps running, because it would be restarted.

    Raises
    ------
    InvalidSettings
        The setting of webhook receivers is unreadable.
    """
    if not is_asked_for(name, settings):
        log.warning("nothing_to_do", service=name, remedy=_NAMED_BY[name])


async def _fill_in_background(settings: Settings, parts: Parts, closing: AsyncExitStack) -> None:
    broker = BrokerAddress.of(settings)
    outbox = KafkaOutbox("embedder", broker, settings, connect=connect_librdkafka)
    closing.push_async_callback(outbox.close)
    vectors = parts.open_vectors()
    work = await filler(settings, parts.stores, vectors, outbox=outbox, clock=parts.clock)
    await closing.enter_async_context(filled_in_background(work))


@asynccontextmanager
async def webhook_consumers(
    settings: Settings, clock: Clock, traces: Traces
) -> AsyncIterator[list[ConsumingService]]:
    """One service per configured webhook receiver; not started yet.

    Raises
    ------
    InvalidSettings
        A receiver is wrongly configured.
    """
    receivers = receivers_of(settings)
    log.info("webhook_receivers", names=[receiver.name for receiver in receivers])
    async with AsyncExitStack() as closing:
        client = await closing.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        yield [
            _webhook(item, client, settings, clock, traces=traces.of(item.service), closing=closing)
            for item in receivers
        ]


def _webhook(
    receiver: Receiver,
    client: httpx.AsyncClient,
    settings: Settings,
    clock: Clock,
    *,
    traces: ServiceTraces,
    closing: AsyncExitStack,
) -> ConsumingService:
    broker = BrokerAddress.of(settings)
    outbox = KafkaOutbox(
        receiver.service, broker, settings, connect=connect_librdkafka, traces=traces
    )
    closing.push_async_callback(outbox.close)
    return ConsumingService(
        receiver.service,
        READS[WEBHOOKS],
        DeliverShortlists(receiver, client, settings, clock),
        outbox=outbox,
        broker=broker,
        # Batches of one: a failed batch is retried whole, which would repeat deliveries.
        settings=settings.model_copy(update={"batch_size": 1}),
        clock=clock,
        traces=traces,
    )


async def _consumer(
    name: str, parts: Parts, closing: AsyncExitStack
) -> tuple[ConsumingService, Step]:
    broker = BrokerAddress.of(parts.settings)
    traces = parts.traces.of(name)
    outbox = KafkaOutbox(name, broker, parts.settings, connect=connect_librdkafka, traces=traces)
    closing.push_async_callback(outbox.close)
    step = await asyncio.to_thread(_BUILDERS[name], parts, outbox)
    listener = step if isinstance(step, EvaluateMatches) else None
    progress = Progress()
    if isinstance(step, PublishShortlists):
        # While a batch waits for a background plan, the plan's steps count as its progress.
        with progress_of(progress):
            await _retriever_background(step, parts, closing)
    if name == LABEL_STUDIO:
        annotation = await open_annotation_stores(parts.stores)
        carried = carrying(annotation, outbox, parts.settings, parts.clock)
        await closing.enter_async_context(carried)
    if listener is not None:
        every_s = parts.settings.evaluate_every_s
        # A batch waits while the background refreshes gauges, whose steps are then its progress.
        with progress_of(progress):
            for work_name, work in (("refresh", listener.refresh), ("assess", listener.assess)):
                await closing.enter_async_context(_going_on(work_name, work, every_s))
    service = ConsumingService(
        name,
        READS[name],
        step,
        outbox=outbox,
        broker=broker,
        settings=_batched(name, parts.settings),
        clock=parts.clock,
        listener=listener,
        traces=traces,
        progress=progress,
    )
    return service, step


async def _retriever_background(
    step: PublishShortlists, parts: Parts, closing: AsyncExitStack
) -> None:
    for name, work, every_s in (
        ("mark_families", _families_marked(parts), _FAMILIES_S),
        ("report_budgets", step.report_budgets, _BUDGETS_S),
        ("settle_shortlists", step.settle_when_due, parts.settings.epoch_s / 4),
    ):
        await closing.enter_async_context(repeated(name, work, parts.clock, every_s=every_s))


def _batched(name: str, settings: Settings) -> Settings:
    """A batch of the retriever is an epoch."""
    if name != "retriever":
        return settings
    larger = {"batch_size": settings.epoch_events, "batch_wait_s": settings.epoch_s}
    return settings.model_copy(update=larger)


def _families_marked(parts: Parts) -> WhenChanged[int]:
    stores, vectors = parts.stores, parts.open_vectors()

    async def planned() -> Hashable:
        # New embeddings close an epoch; a switch of the live model does not, so compare it too.
        return await epochs_closed(stores.epochs), await live_model(vectors, REGION_VECTORS)

    async def mark() -> int:
        return await mark_families(stores, vectors, parts.settings, parts.clock)

    return WhenChanged(mark, stores.matches, planned, parts.clock)


@asynccontextmanager
async def _going_on(
    name: str, work: Callable[[], Awaitable[None]], every_s: float
) -> AsyncIterator[None]:
    """Refresh the gauges periodically, also when no match arrives."""

    async def refresh(ticker: Ticker) -> None:
        while await ticker.passed(every_s):
            await attempted(name, work)

    async with going_on(refresh):
        yield


def _vectors_opened_once(settings: Settings, closing: AsyncExitStack) -> Callable[[], VectorStore]:
    opened: list[VectorStore] = []

    def open_() -> VectorStore:
        if not opened:
            opened.append(open_vector_store(settings))
            closing.push_async_callback(opened[0].close)
        return opened[0]

    return open_
