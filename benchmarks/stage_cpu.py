"""CPU seconds by service, of services that share a process, a loop and threads.

Every callback of the loop and every job of a thread pool is timed by its thread's own clock, and
counts for the service in whose context it was made. What belongs to none (the loop itself, and
kafka-python's threads) is what is left of the process's time.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from services.runtime.consumer import ConsumingService

_PROGRAMS = {"java": "kafka", "mongod": "mongodb"}
_stage: ContextVar[str] = ContextVar("stage", default="publishing")


class StageClock:
    """Counts from when it is made. To be made once, before anything is started."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._time_callbacks()
        self._time_threads()
        self._name_services()

    def _time_callbacks(self) -> None:
        run = asyncio.Handle._run  # noqa: SLF001  # nowhere else do all callbacks come by
        spent = self.spent_s

        def timed(handle: asyncio.Handle) -> None:
            started = time.thread_time()
            try:
                run(handle)
            finally:
                spent[handle._context.get(_stage, "other")] += time.thread_time() - started  # type: ignore[attr-defined]  # noqa: SLF001

        asyncio.Handle._run = timed  # type: ignore[method-assign,assignment]  # noqa: SLF001

    def _time_threads(self) -> None:
        submit = ThreadPoolExecutor.submit
        spent = self.spent_s

        def timed(
            pool: ThreadPoolExecutor, work: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> "Future[Any]":
            stage = _stage.get()

            def job() -> Any:
                started = time.thread_time()
                try:
                    return work(*args, **kwargs)
                finally:
                    spent[stage] += time.thread_time() - started

            return submit(pool, job)

        ThreadPoolExecutor.submit = timed  # type: ignore[method-assign,assignment]

    @staticmethod
    def _name_services() -> None:
        start = ConsumingService.start

        async def named(service: ConsumingService) -> None:
            token = _stage.set(service.name)
            try:
                await start(service)  # all tasks that it makes are in this context
            finally:
                _stage.reset(token)

        ConsumingService.start = named  # type: ignore[method-assign,assignment]


def brokers_and_stores() -> dict[str, int]:
    """Ids of the processes below this one, by what they are."""
    found = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and _is_below(int(each.name)):
            name = _PROGRAMS.get((each / "comm").read_text().strip())
            if name is not None:
                found[name] = int(each.name)
    return found


def cpu_s(pid: int) -> float:
    """What a process has had of the processors so far."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def written_bytes(pid: int | str = "self") -> int:
    """What a process has given the disk to write so far."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])


def own_bytes(pid: int | str = "self") -> int:
    """The memory that a process holds for itself; pages of files that it maps can be dropped."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def _is_below(pid: int) -> bool:
    try:
        while pid not in {0, 1}:
            pid = int(_fields(pid)[1])
            if pid == os.getpid():
                return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return False


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
