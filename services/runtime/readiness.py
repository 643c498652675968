"""Whether what a process needs is there, looked at in the background.

A probe is answered at once, from what was seen last: it must neither wait for a broker that hangs
nor open a connection of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from services.contracts.errors import GazeloopError
from services.runtime.clock import Clock
from services.runtime.http.health import Check

log = structlog.get_logger(__name__)

EVERY_S = 5.0
_STALE = 4
"""Pauses after which an answer counts for nothing: the broker hangs, or our own loop does."""

Need = Callable[[], Awaitable[None]]
"""Returns where it is there; raises a GazeloopError that says what is wrong."""


@dataclass
class _Seen:
    problem: str | None = "not looked at yet"
    at_s: float | None = None


class Readiness:
    """The checks of what a process needs.

    Parameters
    ----------
    needs : by the name of what is looked at
    every_s : the pause between two looks
    """

    def __init__(
        self, needs: Mapping[str, Need], clock: Clock, *, every_s: float = EVERY_S
    ) -> None:
        self._needs = dict(needs)
        self._clock = clock
        self._every_s = every_s
        self._seen = {name: _Seen() for name in needs}
        self._ending = False

    @property
    def checks(self) -> dict[str, Check]:
        """For the health server, which calls them from threads of its own."""
        return {name: lambda name=name: self.problem(name) for name in self._needs}  # type: ignore[misc]

    def problem(self, name: str) -> str | None:
        """What is wrong with one need; nothing where it was there when it was last looked at."""
        seen = self._seen[name]
        if seen.at_s is not None:
            age_s = self._clock.monotonic() - seen.at_s
            if age_s > _STALE * self._every_s:
                return f"no answer for {age_s:.0f} s"
        return seen.problem

    async def look(self, name: str) -> None:
        """Look at one need now."""
        problem = None
        try:
            await self._needs[name]()
        except GazeloopError as exc:
            problem = f"{type(exc).__name__}: {exc}"
        if problem != self._seen[name].problem:
            log.info("readiness_changed", what=name, problem=problem)
        self._seen[name] = _Seen(problem, self._clock.monotonic())

    @asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Each need is looked at again and again while this is open, apart from the others."""
        self._ending = False
        looking = [asyncio.create_task(self._keep_looking(name)) for name in self._needs]
        try:
            yield
        finally:
            # A driver may take a cancellation for a broken connection, which would go on for ever.
            self._ending = True
            for task in looking:
                task.cancel()
            for task in looking:
                with suppress(asyncio.CancelledError):
                    await task

    async def _keep_looking(self, name: str) -> None:
        while not self._ending:
            await self.look(name)
            if not self._ending:
                await asyncio.sleep(self._every_s)
