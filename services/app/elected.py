"""Background work that one of several processes does; the others stand by."""

import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from services.app.repeating import Ticker, attempted, in_background
from services.contracts.errors import Transient
from services.domain.ports.leases import LeaseStore
from services.runtime.clock import Clock

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(seconds=30)
"""How long a job stays undone, at most, after its process is killed."""
_RENEW_S: Final = 10.0
Work = Callable[[], AbstractAsyncContextManager[None]]


class Candidate:
    """A process that does a job while it holds the job's lease.

    Parameters
    ----------
    work : a context that does the job while it is open
    """

    def __init__(self, job: str, leases: LeaseStore, work: Work, clock: Clock) -> None:
        self._job = job
        # Random, so that a restarted process does not take itself for the one before.
        self._holder = f"{socket.gethostname()}-{secrets.token_hex(8)}"
        self._leases = leases
        self._work = work
        self._clock = clock
        self._until = clock.monotonic()

    async def run(self, ticker: Ticker) -> None:
        """Take and renew the lease, and do the work meanwhile, until the ticker ends."""
        again = True
        while again:
            if await self.elected():
                async with self._work():
                    log.info("elected", job=self._job)
                    while again and await self.elected():
                        again = await ticker.passed(_RENEW_S)
                log.info("not_elected", job=self._job)
            else:
                again = await ticker.passed(_RENEW_S)

    async def elected(self) -> bool:
        """Renew the lease; whether this process may do the work until the next time."""
        now = self._clock.monotonic()
        try:
            if not await self._leases.hold(self._job, self._holder, LEASE):
                return False
        except Transient as exc:
            log.warning("lease_not_renewed", job=self._job, error=str(exc))
            # No other process can take the lease before it expires; the next try is before that.
            return now + _RENEW_S < self._until
        # From before the call, so that the lease is over here before it is in the store.
        self._until = now + LEASE.total_seconds()
        return True

    async def resign(self) -> None:
        """Release the lease, so that another process need not wait for its end."""
        await attempted(self._job, lambda: self._leases.release(self._job, self._holder))


@asynccontextmanager
async def elected(job: str, leases: LeaseStore, work: Work, clock: Clock) -> AsyncIterator[None]:
    """Do a job while the context is open, in at most one of all processes that want to."""
    candidate = Candidate(job, leases, work, clock)
    try:
        async with in_background(candidate.run):
            yield
    finally:
        await candidate.resign()
