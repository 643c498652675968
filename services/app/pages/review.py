"""Build the review page, with its background work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from services.annotation.ports.needle_lists import Queue
from services.annotation.ports.query_embedder import QueryEmbedder
from services.annotation.review.app import build_review_app
from services.annotation.review.context import DeadLetters, ReviewContext, review_context
from services.annotation.review.sessions import Account, Authenticate
from services.annotation.review.similar import SimilarThings
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.app.bridge_source import replaying_outbox
from services.app.parts import REVIEW_PATH, App
from services.app.repeating import repeated
from services.contracts.errors import InvalidRecord
from services.contracts.flow import REVIEW
from services.contracts.identity import LetterId
from services.domain.dead_letters import Letter
from services.runtime.clock import Clock
from services.runtime.http.server import traced
from services.runtime.http.tokens import Authenticator
from services.runtime.kafka import dead_letters
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability import metrics
from services.runtime.settings import Settings

_RESUME_S = 15.0
_QUEUE_S = 10.0
_UNSHOWN_S = 15.0
_FILES: Final = (".onnx", ".zip")
"""Networks that OpenVINO reads."""
_EMBEDDING: Final = "services.app.query_embedding"


@asynccontextmanager
async def build(server: FastAPI | None, app: App, clock: Clock) -> AsyncIterator[FastAPI]:
    """Mount the page on the process's server, or on a separate one.

    It publishes corrections under its own name and with its own grants.
    """
    settings, traces = app.settings, app.traces
    if server is None:
        tracing = traced(traces.provider(REVIEW))
        server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=tracing)
    broker = BrokerAddress.of(settings)
    outbox = KafkaOutbox(REVIEW, broker, settings, traces=traces.of(REVIEW))
    async with AsyncExitStack() as closing:
        closing.push_async_callback(outbox.close)
        stores = await open_annotation_stores(app.stores)
        vectors = await asyncio.to_thread(app.open_vectors) if app.open_vectors else None
        similar = SimilarThings(vectors, _embedder(app)) if vectors else None
        page = reviewing(server, stores, outbox, settings, clock, similar=similar)
        await closing.enter_async_context(page)
        yield server


@asynccontextmanager
async def reviewing(
    server: FastAPI,
    stores: AnnotationStores,
    outbox: KafkaOutbox,
    settings: Settings,
    clock: Clock,
    *,
    similar: SimilarThings | None = None,
) -> AsyncIterator[None]:
    """Mount the page; meanwhile, do its background work."""
    context = review_context(
        stores,
        outbox,
        settings,
        clock,
        authenticate=_authenticated_by(stores, clock),
        dead_letters=_dead_letter_actions(outbox, settings, clock),
        similar=similar,
    )
    server.mount(REVIEW_PATH, build_review_app(context))
    # Requests without a path come from people; vehicles know their paths.
    server.add_api_route("/", _to_the_page, include_in_schema=False)
    async with _background_work(context):
        yield


def _authenticated_by(stores: AnnotationStores, clock: Clock) -> Authenticate:
    callers = Authenticator(stores.tokens, clock)

    async def account(presented: str) -> Account | None:
        try:
            caller = await callers.caller(presented)
        except InvalidRecord:
            return None
        return Account(caller.token_id, caller.person) if caller and caller.person else None

    return account


@asynccontextmanager
async def _background_work(context: ReviewContext) -> AsyncIterator[None]:
    """Send corrections that a crash or an outage has delayed, measure the queue of needles that
    wait for annotators, and delete crops of erased frames.
    """
    stores = context.stores

    async def note() -> None:
        note_queue(await stores.needle_lists.queue())

    async def drop_unshown() -> None:
        await context.pictures.drop_unshown(stores.frame_ids.shown)

    async with AsyncExitStack() as closing:
        for name, work, every_s in (
            ("resume_corrections", context.corrector.resume, _RESUME_S),
            ("drop_unshown_pictures", drop_unshown, _UNSHOWN_S),
            ("note_queue", note, _QUEUE_S),
        ):
            repeating = repeated(name, work, context.clock, every_s=every_s)
            await closing.enter_async_context(repeating)
        yield


def _embedder(app: App) -> QueryEmbedder | None:
    """What embeds queries: the embedder that runs here, or a network that needs no torch."""
    if not (app.embeds or app.settings.embedder.endswith(_FILES)):
        return None
    # Only now: a review page that embeds nothing loads none of the embedder's libraries.
    embedder: QueryEmbedder = import_module(_EMBEDDING).SettingsEmbedder(app.settings)
    return embedder


def note_queue(queue: Queue) -> None:
    """Set the gauges of needles that wait for annotators."""
    for stage, count in queue.stages.items():
        metrics.REVIEW_NEEDLES.labels(stage.value).set(count)
    metrics.REVIEW_OLDEST_SECONDS.set(queue.oldest_wait_s)


def _to_the_page() -> RedirectResponse:
    return RedirectResponse(f"{REVIEW_PATH}/")


def _dead_letter_actions(outbox: KafkaOutbox, settings: Settings, clock: Clock) -> DeadLetters:
    broker = BrokerAddress.of(settings)

    async def read() -> list[Letter]:
        return await asyncio.to_thread(dead_letters.read_letters, broker, settings)

    async def chosen(ids: Sequence[LetterId]) -> list[Letter]:
        wanted = set(ids)
        return [letter for letter in await read() if letter.letter_id in wanted]

    async def replay(ids: Sequence[LetterId]) -> int:
        async with replaying_outbox(outbox, settings) as routed:
            report = await dead_letters.replay(await chosen(ids), routed, clock.now())
        return report.replayed

    async def discard(ids: Sequence[LetterId]) -> int:
        return await dead_letters.discard(await chosen(ids), outbox, clock.now())

    return DeadLetters(read, replay, discard)
