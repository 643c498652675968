"""Notices that a service has work and gets nothing done."""

from collections.abc import Mapping

from services.runtime.lag import Partition, Position


class Watchdog:
    """Says for how long there has been lag without a commit."""

    def __init__(self) -> None:
        self._committed: dict[Partition, int] = {}
        self._since: float | None = None

    def observe(self, now_s: float, positions: Mapping[Partition, Position]) -> float:
        """Seconds without progress, by the positions of the partitions that are ours.

        Parameters
        ----------
        now_s : on a clock that never goes back
        """
        committed = {partition: at.committed for partition, at in positions.items()}
        lagging = any(at.lag for at in positions.values())
        # Partitions that come and go are progress too: the clock starts anew with them.
        if not lagging or committed != self._committed or self._since is None:
            self._since = now_s
        self._committed = committed
        return now_s - self._since
