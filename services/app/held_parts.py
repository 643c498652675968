"""Wire the release of held corrections once they are answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.app.repeating import repeated
from services.app.undoing.journals import daily_journal
from services.domain.ports.imports import ImportKind
from services.ground_truth.holding import HeldRelease
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.clock import Clock
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores

_RELEASE_S = 1.0


def answers_publisher(stores: Stores, outbox: Outbox, clock: Clock) -> RevisionPublisher:
    """Publishes held corrections in the names of the people who made them."""
    journal = daily_journal(stores, ImportKind.CORRECTIONS, "answered questions", clock)
    return RevisionPublisher(stores.ledger, outbox, "answer", journal)


@asynccontextmanager
async def held_released(stores: Stores, outbox: Outbox, clock: Clock) -> AsyncIterator[None]:
    """Release answered corrections while the context is open."""
    publisher = answers_publisher(stores, outbox, clock)
    release = HeldRelease(stores.held, publisher)
    async with repeated("release_held", release.release, clock, every_s=_RELEASE_S):
        yield
