"""Serve a process's HTTP on one port: ingest's API for vehicles, and the review page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.app.held_parts import correction_holder, held_released
from services.app.label_studio_parts import outside_routes
from services.app.parts import REVIEW_PATH, App
from services.app.review_page import reviewing
from services.contracts.flow import REVIEW
from services.ingest.api.app import build_http_app
from services.runtime.clock import Clock
from services.runtime.http.server import serving_http, traced
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings

_INGEST_PATH = "/v1"


@asynccontextmanager
async def pages_served(
    services: Sequence[str], app: App, clock: Clock
) -> AsyncIterator[dict[str, str]]:
    """Serve what these services serve by HTTP; yields the addresses by name.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    InvalidSettings
        The port is taken, or the certificate cannot be read.
    """
    async with AsyncExitStack() as closing:
        paths = {}
        if "ingest" in services:
            paths["ingest"] = _INGEST_PATH
            http = await closing.enter_async_context(_ingest_api(app, clock))
        else:
            tracing = traced(app.traces.provider(REVIEW))
            http = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=tracing)
        if REVIEW in services:
            paths[REVIEW] = REVIEW_PATH
            await closing.enter_async_context(_review_page(http, app, clock))
        port = await closing.enter_async_context(_on_port(http, app.settings))
        scheme = "https" if app.settings.tls_certificate else "http"
        yield {name: f"{scheme}://{app.settings.host}:{port}{path}" for name, path in paths.items()}


@asynccontextmanager
async def _ingest_api(app: App, clock: Clock) -> AsyncIterator[FastAPI]:
    stores = app.stores
    async with held_released(stores, app.outbox, clock):
        yield build_http_app(
            outbox=app.outbox,
            blobs=stores.blobs,
            ledger=stores.ledger,
            tokens=stores.tokens,
            settings=app.settings,
            clock=clock,
            tracing=app.traces.provider("ingest"),
            holder=correction_holder(stores, clock),
            frames=stores.frames,
            more=outside_routes(AnnotationStores.of(stores), app.settings, clock),
        )


@asynccontextmanager
async def _review_page(http: FastAPI, app: App, clock: Clock) -> AsyncIterator[None]:
    """Mount the page, which publishes corrections under its own name and with its own grants."""
    settings, traces = app.settings, app.traces.of(REVIEW)
    outbox = KafkaOutbox(REVIEW, BrokerAddress.of(settings), settings, traces=traces)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(outbox.close)
        stores = await open_annotation_stores(app.stores)
        await closing.enter_async_context(reviewing(http, stores, outbox, settings, clock))
        yield


def _on_port(http: FastAPI, settings: Settings) -> AbstractAsyncContextManager[int]:
    return serving_http(
        http,
        settings.host,
        settings.http_port,
        drain_s=settings.drain_deadline_s,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        hosts=settings.hosts,
        proxies=settings.proxies,
    )
