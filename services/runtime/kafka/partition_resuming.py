"""Faust resumes its partitions after a rebalance, however often that has to be tried.

Faust does so in a task that also restores Tables. mode reports a request that took too long as a
stop of the service, and a cancelled one cancels the task. Either way the task ended without a word:
a start never finished, and a running service consumed nothing more. That happens to a process that
was suspended, and while a broker is away for longer than a request may take.
"""

import asyncio
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped

_PAUSE_S = 0.2


class PartitionResuming(TableManager):
    """Manages no Tables; resumes the partitions after a rebalance."""

    @property
    def recovery(self) -> Recovery:
        """The service that does it."""
        if self._recovery is None:
            self._recovery = _TriedAgain(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class _TriedAgain(Recovery):
    """Begins again after a request that took too long or was cancelled."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109
        try:
            await super()._wait(coro, timeout)
        except (ServiceStopped, asyncio.CancelledError):
            task = asyncio.current_task()
            if self.should_stop or self.crashed or (task is not None and task.cancelling()):
                raise
            await self.sleep(_PAUSE_S)
            self.signal_recovery_start.set()
            raise RebalanceAgain from None
