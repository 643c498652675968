"""Build the review page, with its background work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from services.annotation.ports.needle_lists import Queue
from services.annotation.review.app import build_review_app
from services.annotation.review.context import DeadLetters, review_context
from services.annotation.review.sessions import Account
from services.annotation.review.similar import QueryEmbedder, SimilarThings
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
        await closing.enter_async_context(
            reviewing(
                *(server, stores, outbox, settings, clock),
                similar=SimilarThings(vectors, _embedder(app)) if vectors else None,
            )
        )
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
    """Mount the page; meanwhile, send corrections that a crash or an outage has delayed, and
    measure the queue of needles that wait for annotators, and delete crops of erased frames.
    """
    callers = Authenticator(stores.tokens, clock)

    async def who(presented: str) -> Account | None:
        try:
            caller = await callers.caller(presented)
        except InvalidRecord:
            return None
        return Account(caller.token_id, caller.person) if caller and caller.person else None

    dead_letters_page = _dead_letter_actions(outbox, settings, clock)
    context = review_context(
        stores,
        outbox,
        settings,
        clock,
        authenticate=who,
        dead_letters=dead_letters_page,
        similar=similar,
    )
    server.mount(REVIEW_PATH, build_review_app(context))
    # Requests without a path come from people; vehicles know their paths.
    server.add_api_route("/", _to_the_page, include_in_schema=False)

    async def queue() -> None:
        note_queue(await stores.needle_lists.queue())

    async def drop_unshown() -> None:
        await context.pictures.drop_unshown(stores.frame_ids.shown)

    dropping = repeated("drop_unshown_pictures", drop_unshown, clock, every_s=_UNSHOWN_S)
    resuming = repeated("resume_corrections", context.corrector.resume, clock, every_s=_RESUME_S)
    async with resuming, dropping, repeated("note_queue", queue, clock, every_s=_QUEUE_S):
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
