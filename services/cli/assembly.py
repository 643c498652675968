"""Wires the parts together: stores, broker and services, in one process or a service at a time."""

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from fastapi import FastAPI

from services.cli.consumers import (
    BESIDE,
    CONSUMERS,
    SUBSCRIPTIONS,
    WEBHOOKS,
    consumers,
    is_asked_for,
)
from services.cli.held_parts import correction_holder, held_released
from services.cli.label_studio_parts import outside_routes
from services.cli.repeating import repeated
from services.cli.review_page import PATH, noting_figures, reviewing
from services.cli.when_changed import WhenChanged
from services.contracts.errors import MissingPart
from services.evaluator.costs import refresh_error_costs, stored_error_costs
from services.evaluator.report import Counts, Report, build_reports
from services.ingest.http import build_http_app
from services.runtime import metrics
from services.runtime.broker import BrokerAddress
from services.runtime.clock import Clock, SystemClock
from services.runtime.embedded import stack
from services.runtime.embedded.room import room_kept
from services.runtime.embedded.stack import Addresses, EmbeddedStack
from services.runtime.embedded.watching import held_to
from services.runtime.http_server import serving_http, traced
from services.runtime.lag import LagReader
from services.runtime.outbox import KafkaOutbox
from services.runtime.serving import serving
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.topic_admin import broker_identity, create_topics
from services.runtime.trace_export import Traces, exporting

SERVICES = ("ingest", *CONSUMERS, WEBHOOKS)
"""What a deployment always has."""
_POLL_S = 0.5
_COSTS_S = 15.0
"""How often errors' costs are reckoned anew; more seldom where that takes long."""
log = structlog.get_logger()

OnLag = Callable[[dict[tuple[str, str], int]], Awaitable[None]]


def wanted_services(settings: Settings) -> tuple[str, ...]:
    """All services that these settings ask for."""
    return (*SERVICES, *(name for name in BESIDE if is_asked_for(name, settings)))


@dataclass(frozen=True)
class App:
    """Gazeloop on its parts: what a command works with.

    Attributes
    ----------
    settings : with the addresses of the embedded parts filled in
    outbox : where ingest publishes
    addresses : what is served, by name: here, or where this has joined
    """

    settings: Settings
    stores: Stores
    outbox: KafkaOutbox
    addresses: Mapping[str, str]
    _lag: LagReader
    _settle: Callable[[], Awaitable[bool]]

    def review(self, path: str) -> str:
        """Where a page of the review is, for a person: its address, as far as that is known."""
        public = self.settings.public_url.rstrip("/")
        known = self.addresses.get("review") or (public and f"{public}{PATH}")
        return f"{known}{path}" if known else f"{PATH}{path} of a running `gazeloop up`"

    async def lag(self) -> dict[tuple[str, str], int]:
        """Records that each consumer group has not committed yet, by group and topic."""
        return await asyncio.to_thread(self._lag.lags, SUBSCRIPTIONS)

    async def caught_up(self, on_lag: OnLag | None = None) -> None:
        """Wait until no service has anything left to do.

        Parameters
        ----------
        on_lag : awaited about twice a second with what is left
        """
        while True:
            while not await asyncio.to_thread(self._lag.caught_up, SUBSCRIPTIONS):
                if on_lag is not None:
                    await on_lag(await self.lag())
                await asyncio.sleep(_POLL_S)
            if not await self._settle():
                return

    async def reports(self, dead_letters: int) -> list[Report]:
        """One report per detector, from the stores."""
        tally = await self.stores.frames.tally()
        counts = Counts(
            frames=tally.frames,
            predictions=tally.predictions,
            ground_truth=tally.ground_truth,
            dead_letters=dead_letters,
        )
        found = await _brief_reports(self.stores, self.settings, counts)
        # After them: a frame is stored before its matches are, so no detector has none.
        costs = await stored_error_costs(self.stores.frames)
        return [report.with_costs(costs[report.detector]) for report in found]


@asynccontextmanager
async def running(
    settings: Settings,
    services: Sequence[str] = tuple(CONSUMERS),
    *,
    beside: Settings | None = None,
) -> AsyncIterator[App]:
    """The embedded stack on the data folder, and these services on it, in this process.

    Parameters
    ----------
    beside : of a second embedder, whose vectors are filled too

    Raises
    ------
    FolderInUse
        Another process runs on the data folder.
    MissingPart, InvalidSettings, MissingWeights, DiskFull, PartEnded
        Something is not installed or not set as it must be, or there is no room; the message says
        what to do.
    """
    async with AsyncExitStack() as closing:
        embedded = EmbeddedStack(settings)
        addresses = await asyncio.to_thread(embedded.__enter__)
        closing.push_async_callback(asyncio.to_thread, embedded.__exit__)
        await closing.enter_async_context(room_kept(settings.data))
        await closing.enter_async_context(held_to(embedded.check))
        _watch_space(settings.data)
        beside = addresses.applied_to(beside) if beside else None
        starting = _app(addresses.applied_to(settings), services, beside=beside)
        app = await closing.enter_async_context(starting)
        await asyncio.to_thread(embedded.serves, app.addresses.get("review", ""))
        yield app


def _watch_space(folder: Path) -> None:
    def share(of: str) -> float:
        try:
            return float(getattr(shutil.disk_usage(folder), of))
        except OSError:  # taken away under us: the other metrics still count
            return math.nan

    metrics.DATA_FREE_BYTES.set_function(lambda: share("free"))
    metrics.DATA_SIZE_BYTES.set_function(lambda: share("total"))


@asynccontextmanager
async def joined(settings: Settings) -> AsyncIterator[App]:
    """The parts without services: those of a running `gazeloop up`, or our own until the end."""
    async with AsyncExitStack() as closing:
        parts = stack.joined(settings)
        addresses = await asyncio.to_thread(parts.__enter__)
        closing.push_async_callback(asyncio.to_thread, parts.__exit__, None, None, None)
        # As for `deployed`: who runs a cluster's services may not create its topics.
        to = addresses.applied_to(settings)
        app = await closing.enter_async_context(_app(to, (), creating=not settings.kafka))
        yield replace(app, addresses={"review": addresses.review} if addresses.review else {})


@asynccontextmanager
async def deployed(settings: Settings, service: str) -> AsyncIterator[App]:
    """One service on the parts that the settings name, or that run on the data folder.

    Raises
    ------
    MissingPart
        The settings name no broker or no MongoDB, and none runs on the data folder.
    """
    there = None
    if not (settings.kafka and settings.mongodb):
        there = await asyncio.to_thread(stack.running, settings)
        if there is None:
            raise MissingPart(
                "set GAZELOOP_KAFKA and GAZELOOP_MONGODB, or run `gazeloop up` on this data folder"
            )
    # A cluster's topics are its owner's: `gazeloop topics create`, or what Kubernetes declares.
    async with _app(_resolved(settings, there), [service], creating=there is not None) as app:
        yield app


def _resolved(settings: Settings, addresses: Addresses | None) -> Settings:
    return addresses.applied_to(settings) if addresses else settings


@asynccontextmanager
async def _app(
    settings: Settings,
    services: Sequence[str],
    *,
    creating: bool = True,
    beside: Settings | None = None,
) -> AsyncIterator[App]:
    broker = BrokerAddress.of(settings)
    clock: Clock = SystemClock()
    async with AsyncExitStack() as closing:
        if creating:
            report = await asyncio.to_thread(create_topics, broker, settings)
            for difference in report.differences:
                log.warning("topic_differs", what=difference)
        identity = await asyncio.to_thread(broker_identity, broker, settings)
        stores = await closing.enter_async_context(open_stores(settings, identity))
        traces = closing.enter_context(exporting(settings))
        outbox = KafkaOutbox("ingest", broker, settings, traces=traces.of("ingest"))
        closing.push_async_callback(outbox.close)
        reader = closing.enter_context(LagReader(broker, settings))
        addresses: dict[str, str] = {}
        settle = _nothing_put_off
        if services:
            built = await closing.enter_async_context(
                consumers(services, stores, settings, clock, traces=traces, beside=beside)
            )
            settle = built.settle
            health = await closing.enter_async_context(serving(built.services, settings))
            addresses["metrics"] = f"http://{settings.host}:{health.port}/metrics"
        if "ingest" in services or "retriever" in services:
            addresses |= await _serve(
                services, stores, outbox, settings, traces=traces, closing=closing
            )
        if "evaluator" in services:
            await _beside_evaluator(stores, settings, clock, closing)
        yield App(settings, stores, outbox, addresses, reader, settle)


async def _brief_reports(stores: Stores, settings: Settings, counts: Counts) -> list[Report]:
    """Without what errors cost, for which every frame is read."""
    score = settings.operating_score
    return await build_reports(stores.matches, stores.needles, counts, score)


async def _beside_evaluator(
    stores: Stores, settings: Settings, clock: Clock, closing: AsyncExitStack
) -> None:
    """What is reckoned from all that is recorded: figures over time, and what errors cost."""
    nothing_counted = Counts(frames=0, predictions=0, ground_truth=0)
    reports = WhenChanged(
        lambda: _brief_reports(stores, settings, nothing_counted),
        stores.matches,
        stores.needles.plans,
        clock,
    )
    await closing.enter_async_context(noting_figures(stores, reports, clock))
    costs = WhenChanged(
        lambda: refresh_error_costs(stores.frames), stores.matches, stores.needles.plans, clock
    )
    await closing.enter_async_context(repeated("error_costs", costs, clock, every_s=_COSTS_S))


async def _nothing_put_off() -> bool:
    return False


async def _serve(
    services: Sequence[str],
    stores: Stores,
    outbox: KafkaOutbox,
    settings: Settings,
    *,
    traces: Traces,
    closing: AsyncExitStack,
) -> dict[str, str]:
    """Vehicles' interface with ingest, the review page with the retriever, on one port."""
    paths = {}
    if "ingest" in services:
        paths["ingest"] = "/v1"
        http = build_http_app(
            outbox=outbox,
            blobs=stores.blobs,
            ledger=stores.ledger,
            tokens=stores.tokens,
            settings=settings,
            clock=SystemClock(),
            tracing=traces.provider("ingest"),
            holder=correction_holder(stores, SystemClock()),
            more=outside_routes(stores, settings, SystemClock()),
        )
        await closing.enter_async_context(held_released(stores, outbox, SystemClock()))
    else:
        tracing = traced(traces.provider("retriever"))
        http = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=tracing)
    if "retriever" in services:
        paths["review"] = PATH
        # Corrections are the retriever's to publish: by its rights, and under its name.
        corrections = KafkaOutbox(
            "retriever", BrokerAddress.of(settings), settings, traces=traces.of("retriever")
        )
        closing.push_async_callback(corrections.close)
        page = reviewing(http, stores, corrections, settings, SystemClock())
        await closing.enter_async_context(page)
    served = serving_http(
        http,
        settings.host,
        settings.http_port,
        drain_s=settings.drain_deadline_s,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
    )
    port = await closing.enter_async_context(served)
    scheme = "https" if settings.tls_certificate else "http"
    return {name: f"{scheme}://{settings.host}:{port}{path}" for name, path in paths.items()}
