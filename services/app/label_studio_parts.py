"""Wire the Label Studio integration for the service and the commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.annotation.label_studio.client import LabelStudio, opened
from services.annotation.label_studio.links import ImageLinks
from services.annotation.label_studio.making import TaskMaker
from services.annotation.label_studio.project import ensure_project, ensure_webhook
from services.annotation.label_studio.pulling import WAY, Puller
from services.annotation.label_studio.pushing import Pusher
from services.annotation.label_studio.service import SyncLoop
from services.annotation.stores.opening import AnnotationStores
from services.app.repeating import Ticker, in_background
from services.app.undoing.journals import daily_journal
from services.domain.ports.imports import ImportKind
from services.ground_truth.holding import CorrectionGate
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.step import Outbox


@dataclass(frozen=True)
class LabelStudioParts:
    """The parts that commands and the service use."""

    stores: AnnotationStores
    tool: LabelStudio
    pusher: Pusher
    puller: Puller


@asynccontextmanager
async def label_studio(
    stores: AnnotationStores, outbox: Outbox, settings: Settings, clock: Clock
) -> AsyncIterator[LabelStudioParts]:
    """Build the Label Studio parts without connecting.

    Raises
    ------
    InvalidSettings
        Label Studio's URL or token is not set.
    """
    async with opened(settings) as tool:
        links = ImageLinks(stores.reviews.signing_key, settings.public_url)
        maker = TaskMaker(tool, stores, settings, clock, links)
        gate = CorrectionGate(stores.held, stores.categories, stores.ledger, clock)
        journal = daily_journal(stores, ImportKind.CORRECTIONS, "Label Studio", clock, WAY)
        publisher = RevisionPublisher(stores.ledger, outbox, WAY, journal)
        yield LabelStudioParts(
            stores,
            tool,
            Pusher(tool, stores, settings, clock, links, maker),
            Puller(tool, stores, settings, clock, publisher, gate),
        )


@asynccontextmanager
async def carrying(
    stores: AnnotationStores, outbox: Outbox, settings: Settings, clock: Clock
) -> AsyncIterator[None]:
    """Push and pull tasks while the context is open."""
    async with label_studio(stores, outbox, settings, clock) as parts:
        tasks, poll_s = stores.annotation_tasks, settings.label_studio_poll_s

        async def subscribe() -> None:
            project, _ = await ensure_project(parts.tool, settings, stores)
            await ensure_webhook(parts.tool, settings, project)

        loop = SyncLoop(parts.pusher, parts.puller, tasks, clock, poll_s, subscribe)

        async def synchronise(ticker: Ticker) -> None:
            pause_s = 0.0
            while await ticker.passed(pause_s):
                pause_s = await loop.sync()

        async with in_background(synchronise):
            yield
