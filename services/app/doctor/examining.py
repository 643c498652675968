"""Run all checks of a deployment, part by part."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from services.app.doctor.blobs import look_at_blobs
from services.app.doctor.finding import Finding, Level
from services.app.doctor.kafka import look_at_kafka
from services.app.doctor.mongodb import look_at_mongodb
from services.app.doctor.redaction import look_at_redaction
from services.app.doctor.tools import look_at_cvat, look_at_label_studio, look_at_webhooks
from services.app.doctor.vectors import has_vectors, look_at_vectors
from services.app.remedies import remedy_of
from services.app.topic_access import service_of_user
from services.contracts.errors import GazeloopError
from services.contracts.flow import USES_IMAGES, USES_VECTORS
from services.runtime.clock import Clock
from services.runtime.embedded import stack
from services.runtime.settings import Settings

Check = Callable[[], Awaitable[list[Finding]]]


async def examine(settings: Settings, clock: Clock, *, model: bool = True) -> list[Finding]:
    """Check every part that the settings name or the data folder has; change nothing.

    With a service's own Kafka user, check only the parts that this service uses.

    Parameters
    ----------
    model : whether to load the embedder's weights, which takes seconds
    """
    async with _resolved(settings) as (resolved, owned):
        if not (resolved.kafka and resolved.mongodb):
            remedy = "set GAZELOOP_KAFKA and GAZELOOP_MONGODB, or run `gazeloop up`"
            return [Finding(Level.ERROR, "settings", "no Kafka or no MongoDB is named", remedy)]
        checks: dict[str, Check] = {
            "kafka": lambda: asyncio.to_thread(look_at_kafka, resolved),
            "mongodb": lambda: look_at_mongodb(resolved, clock),
        }
        if resolved.redacted_categories:
            checks["redaction"] = lambda: look_at_redaction(resolved)
        service = service_of_user(resolved)
        if service is None or service in USES_IMAGES:
            checks["blobs"] = lambda: look_at_blobs(resolved)
        # Only one process can open Qdrant Edge: `gazeloop up`, if it runs. A service that uses no
        # vectors has no key.
        can_open_vectors = resolved.qdrant or (has_vectors(resolved) and not owned)
        if can_open_vectors and (service is None or service in USES_VECTORS):
            checks["vectors"] = lambda: look_at_vectors(resolved, model=model)
        checks |= _tools(resolved)
        return [
            finding for part, check in checks.items() for finding in await _looked_at(part, check)
        ]


def _tools(settings: Settings) -> dict[str, Check]:
    """Checks of the annotation tools that the settings name."""
    checks: dict[str, Check] = {}
    if settings.webhooks:
        checks["webhooks"] = lambda: look_at_webhooks(settings)
    if settings.label_studio_url:
        checks["label_studio"] = lambda: look_at_label_studio(settings)
    if settings.cvat_url:
        checks["cvat"] = lambda: asyncio.to_thread(look_at_cvat, settings)
    return checks


@asynccontextmanager
async def _resolved(settings: Settings) -> AsyncIterator[tuple[Settings, bool]]:
    """The settings with all parts' addresses, and whether another process owns the data folder.

    If none does, its parts run while the context is open.
    """
    named = bool(settings.kafka and settings.mongodb)
    stack_addresses = (
        await asyncio.to_thread(stack.running, settings) if settings.data.exists() else None
    )
    if stack_addresses is not None:
        yield stack_addresses.applied_to(settings), True
    elif named or not (settings.data / "mongodb").exists():
        yield settings, False
    else:
        async with stack.joined(settings) as addresses:
            yield addresses.applied_to(settings), False


async def _looked_at(part: str, check: Check) -> list[Finding]:
    try:
        return await check()
    except GazeloopError as exc:
        return [Finding(Level.ERROR, part, str(exc), remedy_of(exc))]
