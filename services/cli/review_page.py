"""The review page on a server, with what goes on beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from services.contracts.errors import InvalidRecord, Transient
from services.contracts.events import DeadLettered
from services.contracts.identity import EventId
from services.evaluator.report import Report
from services.ingest.tokens import authenticate
from services.retriever.review.app import build_review_app, open_desk
from services.retriever.review.desk import Letters
from services.runtime import dead_letters
from services.runtime.broker import BrokerAddress
from services.runtime.clock import Clock
from services.runtime.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.stores.figures import Figures
from services.runtime.stores.opening import Stores
from services.runtime.stores.reviews import Progress

log = structlog.get_logger(__name__)

PATH = "/review"
_RESUME_S = 15.0
_SAMPLE_S = 15.0
_SHARE = 0.05
"""Of the time, at most this is spent on looking at the figures."""


@asynccontextmanager
async def reviewing(
    server: FastAPI, stores: Stores, outbox: KafkaOutbox, settings: Settings, clock: Clock
) -> AsyncIterator[None]:
    """The page is mounted; corrections that a crash or an outage held up are sent meanwhile."""

    async def who(presented: str) -> str | None:
        try:
            caller = await authenticate(stores.tokens, presented)
        except InvalidRecord:
            return None
        return caller.token_id if caller and caller.scope.vehicle_id is None else None

    letters = _letters(outbox, settings)
    desk = open_desk(stores, outbox, settings, clock, authenticate=who, letters=letters)
    server.mount(PATH, build_review_app(desk))

    async def resume() -> float:
        await desk.corrector.resume()
        return _RESUME_S

    async with _repeated("review_resumed", resume):
        yield


@asynccontextmanager
async def noting_figures(
    stores: Stores, reports: Callable[[], Awaitable[Sequence[Report]]], clock: Clock
) -> AsyncIterator[None]:
    """Figures are kept as they change, so that the page can draw them over time."""

    async def note() -> float:
        started = clock.monotonic()
        await note_figures(stores, await reports(), clock)
        return max(_SAMPLE_S, (clock.monotonic() - started) / _SHARE)

    async with _repeated("figures_noted", note):
        yield


async def note_figures(stores: Stores, reports: Sequence[Report], clock: Clock) -> None:
    """Keep what these reports say, unless it was said before.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    kinds = await stores.needle_lists.kinds()
    for report in reports:
        own = [kind for kind in kinds if kind.detector == report.detector]
        await stores.figures.add(
            Figures(
                detector=report.detector,
                at=clock.now(),
                map={subset.value: numbers["AP"] for subset, numbers in report.map.items()},
                found=report.shortlist.found,
                random_yield=report.shortlist.random_yield,
                lift=report.shortlist.lift,
                queue={
                    each.value: sum(kind.count for kind in own if kind.progress is each)
                    for each in Progress
                },
            )
        )


@asynccontextmanager
async def _repeated(name: str, work: Callable[[], Awaitable[float]]) -> AsyncIterator[None]:
    """`work` again and again, as many seconds apart as it says, whatever is away meanwhile."""

    async def forever() -> None:
        while True:
            wait_s = _RESUME_S
            try:
                wait_s = await work()
            except Transient as exc:
                log.warning("review_work_later", work=name, error=str(exc))
            await asyncio.sleep(wait_s)

    async with asyncio.TaskGroup() as group:
        repeating = group.create_task(forever())
        yield
        repeating.cancel()


def _letters(outbox: KafkaOutbox, settings: Settings) -> Letters:
    broker = BrokerAddress.of(settings)

    async def read() -> list[DeadLettered]:
        return await asyncio.to_thread(
            lambda: list(dead_letters.read_dead_letters(broker, settings))
        )

    async def replay(ids: Sequence[EventId]) -> int:
        wanted = set(ids)
        letters = [letter for letter in await read() if letter.event_id in wanted]
        return (await dead_letters.replay(letters, outbox)).replayed

    return Letters(read, replay)
