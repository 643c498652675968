"""Assemble services with their stores and broker: all in one process, or a single service."""

import asyncio
import math
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from services.app.consumers.building import BuiltService, Parts
from services.app.consumers.registry import consumers_built, is_asked_for, warn_where_idle
from services.app.needs import ServedPages, readiness_of
from services.app.pages.server import pages_served
from services.app.parts import App, opened
from services.contracts.errors import InvalidSettings, Transient
from services.contracts.flow import CONSUMERS, OPTIONAL_SERVICES, REVIEW, SERVICES, USES_IMAGES
from services.domain.ports.vectors import VectorReader, VectorStore
from services.runtime.clock import Clock, SystemClock
from services.runtime.embedded import stack
from services.runtime.embedded.room import room_kept
from services.runtime.embedded.stack import Addresses, EmbeddedStack
from services.runtime.embedded.watching import held_to
from services.runtime.http.hosts import in_url
from services.runtime.http.server import serving_http
from services.runtime.http.vector_server import vector_server
from services.runtime.observability import metrics
from services.runtime.serving import serving
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.vectors_open import open_vector_store

log = structlog.get_logger(__name__)

_START_POLL_S = 1.0
_LOOPBACK: Final = "127.0.0.1"
_KEY_BYTES: Final = 32


def wanted_services(settings: Settings) -> tuple[str, ...]:
    """All services that these settings enable."""
    return (*SERVICES, *(name for name in OPTIONAL_SERVICES if is_asked_for(name, settings)))


@asynccontextmanager
async def running(
    settings: Settings,
    services: Sequence[str] = (*CONSUMERS, REVIEW),
    *,
    fill_settings: Settings | None = None,
) -> AsyncIterator[App]:
    """Run the embedded stack on the data folder, and these services, in this process.

    Parameters
    ----------
    fill_settings : the settings of a second embedder, whose vectors are filled too

    Raises
    ------
    FolderInUse
        Another process runs on the data folder.
    MissingPart, InvalidSettings, MissingWeights, DiskFull, PartEnded
        Something is not installed or wrongly configured, or the disk is full; the message has the
        remedy.
    """
    async with AsyncExitStack() as closing:
        embedded = EmbeddedStack(settings)
        addresses = await closing.enter_async_context(stack.in_thread(embedded))
        await closing.enter_async_context(room_kept(settings.data))
        await closing.enter_async_context(held_to(embedded.check))
        _watch_space(settings.data)
        fill_settings = addresses.applied_to(fill_settings) if fill_settings else None
        starting = _serving(addresses.applied_to(settings), services, fill_settings=fill_settings)
        app = await closing.enter_async_context(starting)
        served = {"review": app.addresses.get("review", "")}
        if app.open_vectors is not None and not settings.qdrant:
            served |= await closing.enter_async_context(_vectors_served(app.open_vectors))
        await asyncio.to_thread(partial(embedded.serves, **served))
        yield app


@asynccontextmanager
async def _vectors_served(
    open_vectors: Callable[[], VectorReader],
) -> AsyncIterator[dict[str, str]]:
    """Let other processes read the vectors, which have one owner; yields address and key."""
    key = secrets.token_hex(_KEY_BYTES)
    server = vector_server(open_vectors, key)
    async with serving_http(server, _LOOPBACK, 0, drain_s=0) as port:
        yield {"vectors": f"http://{_LOOPBACK}:{port}", "vectors_key": key}


def _watch_space(folder: Path) -> None:
    def usage(field: str) -> float:
        try:
            return float(getattr(shutil.disk_usage(folder), field))
        except OSError:  # the folder is gone: keep the other metrics
            return math.nan

    metrics.DATA_FREE_BYTES.set_function(lambda: usage("free"))
    metrics.DATA_SIZE_BYTES.set_function(lambda: usage("total"))


@asynccontextmanager
async def deployed(settings: Settings, service: str) -> AsyncIterator[App]:
    """Run one service on the parts that the settings name, or that run on the data folder.

    Raises
    ------
    StoreUnavailable, BrokerUnavailable
        A part was unreachable for `settings.start_wait_s`.
    MissingPart
        The blob store's URL needs a package that is not installed.
    InvalidSettings
        They name no broker or no MongoDB, and none runs on the data folder; or webhook receivers
        are wrongly configured.
    """
    warn_where_idle(service, settings)
    stack_addresses = None
    if not (settings.kafka and settings.mongodb):
        stack_addresses = await asyncio.to_thread(stack.running, settings)
        if stack_addresses is None:
            raise InvalidSettings(
                "set GAZELOOP_KAFKA and GAZELOOP_MONGODB, or run `gazeloop up` on this data folder"
            )
    resolved = _resolved(settings, stack_addresses)
    async with AsyncExitStack() as closing:
        # A cluster's owner creates its topics: by `gazeloop topics create`, or in Kubernetes.
        yield await _when_reachable(
            lambda: _serving(resolved, [service], creating=stack_addresses is not None),
            resolved,
            closing,
        )


async def _when_reachable(
    serving_: Callable[[], AbstractAsyncContextManager[App]],
    settings: Settings,
    closing: AsyncExitStack,
) -> App:
    """Start, retrying while a part is unreachable: a rollout starts all parts at once."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        wait=wait_fixed(_START_POLL_S),
        stop=stop_after_delay(settings.start_wait_s),
        before_sleep=_note_start,
        reraise=True,
    )

    async def start() -> App:
        return await closing.enter_async_context(serving_())

    app: App = await retrying(start)
    return app


async def _note_start(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("start_awaits", error=f"{type(error).__name__}: {error}")


def _resolved(settings: Settings, addresses: Addresses | None) -> Settings:
    return addresses.applied_to(settings) if addresses else settings


@asynccontextmanager
async def _serving(
    settings: Settings,
    services: Sequence[str],
    *,
    creating: bool = True,
    fill_settings: Settings | None = None,
) -> AsyncIterator[App]:
    clock: Clock = SystemClock()
    async with opened(settings, creating=creating) as app, AsyncExitStack() as closing:
        if USES_IMAGES.intersection(services):
            open_blobs(settings.blob_url)  # report a missing package now, not at the first image
        vectors = _vectors_opened_once(settings, closing)
        parts = Parts(app.stores, settings, clock, app.traces, vectors, fill_settings)
        built = await closing.enter_async_context(consumers_built(services, parts))
        served = ServedPages(services)
        ready = None
        if served.names:
            readiness = readiness_of(served, app.stores, settings, clock)
            ready = await closing.enter_async_context(readiness)
        consumers = [consumer for service in built for consumer in service.consumers]
        health = await closing.enter_async_context(
            serving(consumers, settings, ready.checks if ready else None)
        )
        addresses = {"metrics": f"http://{in_url(settings.host)}:{health.port}/metrics"}
        if served.names:
            # Another process may own an embedded store; a server checks the key.
            may_search = "retriever" in services or settings.qdrant_api_key
            open_ = vectors if may_search else None
            searching = replace(app, open_vectors=open_, embeds="embedder" in services)
            addresses |= await closing.enter_async_context(pages_served(services, searching, clock))
            served.serve(addresses)
        owned = vectors if "embedder" in services else None
        settle = partial(_settled, built)
        yield replace(app, addresses=addresses, settle=settle, open_vectors=owned)


async def _settled(services: Sequence[BuiltService]) -> bool:
    """Do the services' deferred work; return whether there was any."""
    return any([await service.settle() for service in services if service.settle])


def _vectors_opened_once(settings: Settings, closing: AsyncExitStack) -> Callable[[], VectorStore]:
    """Open the vector store at the first call, and close it with `closing`."""
    opened: list[VectorStore] = []

    def open_() -> VectorStore:
        if not opened:
            opened.append(open_vector_store(settings))
            closing.push_async_callback(opened[0].close)
        return opened[0]

    return open_
