"""A consuming service that stops while it informs a step of its partitions."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.exits import ExitCode
from services.runtime.kafka.assignment import Assignment
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox


class SlowListener:
    """Takes an assignment only once it is let."""

    def __init__(self) -> None:
        self.begun, self.let, self.finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self, events: Sequence[Event]) -> None:
        pass

    async def assigned(self, assignment: Assignment) -> None:
        del assignment
        self.begun.set()
        await self.let.wait()
        self.finished.set()


def _exit(code: ExitCode) -> NoReturn:
    raise AssertionError(f"the service ends with {code}")


async def _nothing() -> None:
    pass


def _started_app() -> Any:
    """What a service needs of its app at its end."""
    return SimpleNamespace(
        started=True, consumer=SimpleNamespace(commit=_nothing), stop=_nothing, ending=False
    )


async def test_a_stop_lets_the_step_finish_with_a_repeated_assignment() -> None:
    listener = SlowListener()
    service = ConsumingService(
        "tester",
        [FRAMES],
        listener,
        outbox=InMemoryOutbox(),
        broker=BrokerAddress(("localhost:1",)),
        settings=Settings(metadata_max_age_s=0.01),
        clock=FakeClock(),
        listener=listener,
        exit_process=_exit,
    )
    service._app = _started_app()
    service._remind_later()
    await listener.begun.wait()

    stopping = asyncio.create_task(service.stop())
    await asyncio.sleep(0)
    listener.let.set()
    await stopping

    assert listener.finished.is_set()
