"""Build ingest's HTTP API, with its work on held corrections and stored data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.annotation.stores.opening import AnnotationStores
from services.app.erasure.opening import erasing_for_operators
from services.app.held_parts import held_released
from services.app.label_studio_routes import outside_routes
from services.app.parts import App
from services.app.upkeep import stored_data_kept
from services.ingest.api.app import build_http_app
from services.ingest.api.originals import Originals
from services.ingest.correction_holder import CorrectionHolder
from services.ingest.parts import IngestParts
from services.runtime.clock import Clock


@asynccontextmanager
async def build(server: FastAPI | None, app: App, clock: Clock) -> AsyncIterator[FastAPI]:
    """Build it; it is the process's server, to which the review page may be added."""
    assert server is None, "ingest's API is built first"
    stores = app.stores
    parts = IngestParts.of(stores, app.outbox, app.settings, clock)
    async with held_released(stores, app.outbox, clock), stored_data_kept(app, clock):
        yield build_http_app(
            parts,
            tokens=stores.tokens,
            holder=CorrectionHolder(parts.gate, stores.ledger, stores.shortlists),
            tracing=app.traces.provider("ingest"),
            erase=erasing_for_operators(app, clock),
            originals=Originals(
                stores.frames, stores.blobs, stores.tombstones, stores.audit, clock
            ),
            more=outside_routes(AnnotationStores.of(stores), app.settings, clock),
        )
