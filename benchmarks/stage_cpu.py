"""CPU seconds by service, of services that share a process, a loop and threads.

Every callback of a loop and every job of a thread pool is timed by its thread's own clock, and
counts for the service in whose context it was made, or for the part of the benchmark. What a thread
does besides (those of Kafka's clients have loops of their own) counts for whoever started it. What
belongs to none (the main loop itself, and the threads of librdkafka and Qdrant) is what is left of
the process's time.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Thread, get_ident
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
        self._spent_s: defaultdict[str, float] = defaultdict(float)
        self._in_thread_s: defaultdict[int, float] = defaultdict(float)
        """Of these, by thread."""
        self._running: dict[int, str] = {}
        """Threads, and who started each."""
        self._timed = 0
        self._timing_s = 0.0
        before_s = _seconds_per_callback()
        self._time_callbacks()
        self._timing_s = max(0.0, _seconds_per_callback() - before_s)
        self._spent_s.clear()
        self._timed = 0
        self._time_jobs()
        self._time_threads()
        self._name_services()

    def spent_s(self) -> dict[str, float]:
        """CPU seconds so far, by stage."""
        spent = defaultdict(float, self._spent_s)
        for thread, stage in list(self._running.items()):
            clock = time.pthread_getcpuclockid(thread)
            spent[stage] += time.clock_gettime(clock) - self._in_thread_s[thread]
        return dict(spent)

    @property
    def timing_s(self) -> float:
        """CPU seconds that the timing itself took, by what it adds to an empty callback."""
        return self._timed * self._timing_s

    def _time_callbacks(self) -> None:
        run = asyncio.Handle._run  # noqa: SLF001  # nowhere else do all callbacks come by

        def timed(handle: asyncio.Handle) -> None:
            self._timed += 1
            started = time.thread_time()
            try:
                run(handle)
            finally:
                stage = handle._context.get(_stage, BACKGROUND)  # type: ignore[attr-defined]  # noqa: SLF001
                self._count(stage, time.thread_time() - started)

        asyncio.Handle._run = timed  # type: ignore[method-assign,assignment]  # noqa: SLF001

    def _count(self, stage: str, spent_s: float) -> None:
        self._spent_s[stage] += spent_s
        self._in_thread_s[get_ident()] += spent_s

    def _time_jobs(self) -> None:
        submit = ThreadPoolExecutor.submit

        def timed(
            pool: ThreadPoolExecutor, work: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> "Future[Any]":
            stage = _stage.get()

            def job() -> Any:
                started = time.thread_time()
                try:
                    return work(*args, **kwargs)
                finally:
                    self._count(stage, time.thread_time() - started)

            return submit(pool, job)

        ThreadPoolExecutor.submit = timed  # type: ignore[method-assign,assignment]

    def _time_threads(self) -> None:
        start = Thread.start

        def started(thread: Thread) -> None:
            run, context = thread.run, copy_context()

            def timed() -> None:
                self._in_thread_s[get_ident()] = 0.0  # numbers of ended threads are used again
                self._running[get_ident()] = context.get(_stage, BACKGROUND)
                try:
                    context.run(run)
                finally:
                    stage = self._running.pop(get_ident())
                    self._spent_s[stage] += time.thread_time() - self._in_thread_s[get_ident()]

            thread.run = timed  # type: ignore[method-assign]
            start(thread)

        Thread.start = started  # type: ignore[method-assign,assignment]

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
