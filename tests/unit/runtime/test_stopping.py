"""A consuming service that stops: while it informs a step of its partitions, or unwatched."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from services.contracts.errors import InvalidSettings
from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.exits import Exit, ExitCode
from services.runtime.kafka import admin_connection
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


def _started_app(commit: Callable[[], Awaitable[None]] = _nothing) -> Any:
    """What a service needs of its app at its end."""
    return SimpleNamespace(
        started=True, consumer=SimpleNamespace(commit=commit), stop=_nothing, ending=False
    )


def _service(
    listener: SlowListener, exit_process: Exit = _exit, **settings: float
) -> ConsumingService:
    return ConsumingService(
        "tester",
        [FRAMES],
        listener,
        outbox=InMemoryOutbox(),
        broker=BrokerAddress(("localhost:1",)),
        settings=Settings.model_validate(settings),
        clock=FakeClock(),
        listener=listener,
        exit_process=exit_process,
    )


async def test_a_stop_lets_the_step_finish_with_a_repeated_assignment() -> None:
    listener = SlowListener()
    service = _service(listener, metadata_max_age_s=0.01)
    service._app = _started_app()
    service._remind_later()
    await listener.begun.wait()

    stopping = asyncio.create_task(service.stop())
    await asyncio.sleep(0)
    listener.let.set()
    await stopping

    assert listener.finished.is_set()


class _LeftError(Exception):
    """Ends what asked to exit."""


async def test_a_service_that_may_no_longer_read_its_lag_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exits: list[ExitCode] = []

    def leave(code: ExitCode) -> NoReturn:
        exits.append(code)
        raise _LeftError

    def refuse(*_: object) -> NoReturn:
        raise InvalidSettings("the user's grants were revoked")

    monkeypatch.setattr(admin_connection, "connect_admin", refuse)
    service = _service(SlowListener(), leave, stall_limit_s=0.04)

    with pytest.raises(_LeftError):
        await service._watch()

    assert exits == [ExitCode.FAILED]


async def test_a_stop_commits_although_the_watch_has_failed() -> None:
    committed = asyncio.Event()

    async def commit() -> None:
        committed.set()

    async def fail() -> None:
        raise InvalidSettings("the user's grants were revoked")

    service = _service(SlowListener())
    service._app = _started_app(commit)
    service._watching = asyncio.create_task(fail())
    await asyncio.wait({service._watching})

    await service.stop()

    assert committed.is_set()
