"""Progress of a batch that is not finished yet, for the watchdog.

A commit shows progress only when a whole batch is done. One batch may take longer than the stall
limit and still be sound: many regions to embed, or a store that is awaited. Code that works
through something long calls `report_progress` now and then, from whatever thread it runs in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count


class Progress:
    """Counts the steps that a service has taken; any thread may report one."""

    def __init__(self) -> None:
        # `next` on a count is one operation of the interpreter: no lock is needed.
        self._steps = count(1)
        self._reported = 0

    @property
    def steps(self) -> int:
        """Number of reported steps; it only grows."""
        return self._reported

    def report(self) -> None:
        """Report one more step."""
        self._reported = next(self._steps)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def progress_of(progress: Progress) -> Iterator[None]:
    """Count steps reported in this context here; threads of `asyncio.to_thread` inherit it."""
    token = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(token)


def report_progress() -> None:
    """Report a step of the current batch; does nothing outside of a batch."""
    if (progress := _current.get()) is not None:
        progress.report()
