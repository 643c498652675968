"""Detects a service that has lag but makes no progress."""

from collections.abc import Mapping

from services.runtime.kafka.lag import Partition, Position


class Watchdog:
    """Measures how long there has been lag without a commit or any other progress."""

    def __init__(self) -> None:
        self._committed: dict[Partition, int] = {}
        self._steps = 0
        self._since: float | None = None

    def observe(
        self, now_s: float, positions: Mapping[Partition, Position], steps: int = 0
    ) -> float:
        """Seconds without progress.

        Parameters
        ----------
        now_s : time on a monotonic clock
        positions : those that this replica must account for, see `Assignment.accountable`
        steps : progress reported so far from within batches, see `Progress`
        """
        committed = {partition: at.committed for partition, at in positions.items()}
        lagging = any(at.lag for at in positions.values())
        # A rebalance counts as progress too: it restarts the measurement.
        moved = committed != self._committed or steps != self._steps
        if not lagging or moved or self._since is None:
            self._since = now_s
        self._committed = committed
        self._steps = steps
        return now_s - self._since
