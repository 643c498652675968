"""Label Studio's parts, wired: for the service, for ingest's HTTP and for the commands."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter

from services.annotation.label_studio.client import LabelStudio, opened
from services.annotation.label_studio.http import event_routes, image_routes
from services.annotation.label_studio.links import ImageLinks
from services.annotation.label_studio.making import TaskMaker
from services.annotation.label_studio.project import ensure_project, ensure_webhook
from services.annotation.label_studio.pulling import Puller
from services.annotation.label_studio.pushing import Pusher
from services.annotation.label_studio.service import SyncLoop
from services.app.repeating import Ticker, going_on
from services.ground_truth.holding import CorrectionGate
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores


@dataclass(frozen=True)
class LabelStudioParts:
    """What commands and the service work with."""

    tool: LabelStudio
    pusher: Pusher
    puller: Puller


@asynccontextmanager
async def label_studio(
    stores: Stores, outbox: Outbox, settings: Settings, clock: Clock
) -> AsyncIterator[LabelStudioParts]:
    """Label Studio's parts; nothing is contacted yet.

    Raises
    ------
    InvalidSettings
        Label Studio's URL or token is not set.
    """
    async with opened(settings) as tool:
        links = ImageLinks(stores.reviews.signing_key, settings.public_url)
        maker = TaskMaker(tool, stores, settings, clock, links)
        gate = CorrectionGate(stores.held, stores.categories, clock)
        yield LabelStudioParts(
            tool,
            Pusher(tool, stores, settings, clock, links, maker),
            Puller(tool, stores, settings, clock, outbox, gate),
        )


@asynccontextmanager
async def carrying(
    stores: Stores, outbox: Outbox, settings: Settings, clock: Clock
) -> AsyncIterator[None]:
    """Tasks are pushed and pulled while this is open."""
    async with label_studio(stores, outbox, settings, clock) as parts:
        tasks, poll_s = stores.annotation_tasks, settings.label_studio_poll_s

        async def be_heard_of() -> None:
            project, _ = await ensure_project(parts.tool, settings, stores)
            await ensure_webhook(parts.tool, settings, project)

        carrier = SyncLoop(parts.pusher, parts.puller, tasks, clock, poll_s, be_heard_of)

        async def carry(pauses: Ticker) -> None:
            pause_s = 0.0
            while await pauses.passed(pause_s):
                pause_s = await carrier.carry()

        async with going_on(carry):
            yield


def outside_routes(stores: Stores, settings: Settings, clock: Clock) -> Sequence[APIRouter]:
    """What Label Studio and annotators' browsers ask of ingest; nothing where it is not used."""
    if not settings.label_studio_url:
        return ()
    links = ImageLinks(stores.reviews.signing_key, settings.public_url)
    return (
        event_routes(stores.annotation_tasks, settings),
        image_routes(links, stores.frames, stores.blobs, settings, clock),
    )
