"""CPU seconds by service, of services that share a process, a loop and threads.

Every callback of the loop and every job of a thread pool is timed by its thread's own clock, and
counts for the service in whose context it was made, or for the part of the benchmark. What belongs
to none (the loop itself, and the threads of Kafka's clients and Qdrant) is what is left of the
process's time.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from services.runtime.kafka.consumer import ConsumingService

BACKGROUND = "background"
"""What no service's consumer does: figures, families, leases, and the clients of stores."""
_stage: ContextVar[str] = ContextVar("stage", default=BACKGROUND)

_CALIBRATING = 20_000
"""Callbacks of which the timing is timed."""


@contextmanager
def counted_as(stage: str) -> Iterator[None]:
    """What this task does inside counts for this stage, with what it starts."""
    token = _stage.set(stage)
    try:
        yield
    finally:
        _stage.reset(token)


class StageClock:
    """Counts from when it is made. To be made once, before anything is started."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._timed = 0
        self._timing_s = 0.0
        before_s = _seconds_per_callback()
        self._time_callbacks()
        self._timing_s = max(0.0, _seconds_per_callback() - before_s)
        self.spent_s.clear()
        self._timed = 0
        self._time_threads()
        self._name_services()

    @property
    def timing_s(self) -> float:
        """CPU seconds that the timing itself took, by what it adds to an empty callback."""
        return self._timed * self._timing_s

    def _time_callbacks(self) -> None:
        run = asyncio.Handle._run  # noqa: SLF001  # nowhere else do all callbacks come by
        spent = self.spent_s

        def timed(handle: asyncio.Handle) -> None:
            self._timed += 1
            started = time.thread_time()
            try:
                run(handle)
            finally:
                spent[handle._context.get(_stage, BACKGROUND)] += time.thread_time() - started  # type: ignore[attr-defined]  # noqa: SLF001

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
            with counted_as(service.name):
                await start(service)  # all tasks that it makes are in this context

        ConsumingService.start = named  # type: ignore[method-assign,assignment]


def _seconds_per_callback() -> float:
    loop = asyncio.new_event_loop()
    handle = asyncio.Handle(int, (), loop)
    started = time.thread_time()
    for _ in range(_CALIBRATING):
        handle._run()  # noqa: SLF001  # as the loop does
    took_s = time.thread_time() - started
    loop.close()
    return took_s / _CALIBRATING
