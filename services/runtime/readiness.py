"""Checks in the background whether the parts that a process needs are available.

A probe is answered at once with the last result: it must neither wait for a broker that hangs nor
open its own connection.
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
"""Intervals after which a result is outdated, because the broker or the event loop hangs."""

Need = Callable[[], Awaitable[None]]
"""Returns if the part is available; else raises a GazeloopError with the reason."""


@dataclass
class _Seen:
    problem: str | None = "not looked at yet"
    at_s: float | None = None


class Readiness:
    """Background checks of the parts that a process needs.

    Parameters
    ----------
    needs : checks by the name of the part
    every_s : interval between two checks
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
        """Checks for the health server, which calls them in its own threads."""
        return {name: lambda name=name: self.problem(name) for name in self._needs}  # type: ignore[misc]

    def problem(self, name: str) -> str | None:
        """What is wrong with one part; None if its last check succeeded."""
        seen = self._seen[name]
        if seen.at_s is not None:
            age_s = self._clock.monotonic() - seen.at_s
            if age_s > _STALE * self._every_s:
                return f"no answer for {age_s:.0f} s"
        return seen.problem

    async def look(self, name: str) -> None:
        """Check one part now."""
        problem = None
        try:
            await self._needs[name]()
        except GazeloopError as exc:
            problem = f"{type(exc).__name__}: {exc}"
        if problem != self._seen[name].problem:
            log.info("readiness_changed", what=name, problem=problem)
        self._seen[name] = _Seen(problem, self._clock.monotonic())

    @asynccontextmanager
    async def checked_repeatedly(self) -> AsyncIterator[None]:
        """Check every part repeatedly, independently of the others, while the context is open."""
        self._ending = False
        looking = [asyncio.create_task(self._keep_looking(name)) for name in self._needs]
        try:
            yield
        finally:
            # A driver may turn a cancellation into a connection error; the flag ends the loop then.
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
