"""Notices that a service has work and gets nothing done."""

from collections.abc import Mapping

from services.runtime.kafka.lag import Partition, Position


class Watchdog:
    """Says for how long there has been lag without a commit or any other progress."""

    def __init__(self) -> None:
        self._committed: dict[Partition, int] = {}
        self._steps = 0
        self._since: float | None = None

    def observe(
        self, now_s: float, positions: Mapping[Partition, Position], steps: int = 0
    ) -> float:
        """Seconds without progress, by the positions of the partitions that are ours.

        Parameters
        ----------
        now_s : on a clock that never goes back
        steps : how many the batches in hand have reported by now, see `Progress`
        """
        committed = {partition: at.committed for partition, at in positions.items()}
        lagging = any(at.lag for at in positions.values())
        # Partitions that come and go are progress too: the clock starts anew with them.
        moved = committed != self._committed or steps != self._steps
        if not lagging or moved or self._since is None:
            self._since = now_s
        self._committed = committed
        self._steps = steps
        return now_s - self._since
