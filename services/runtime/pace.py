"""Paces work whose duration grows with the amount of data."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.runtime.clock import Clock

_SHARE_OF_FIRST = 0.25
"""How much of the first run counts, as most of it may be the compilation of kernels. With many
records, a quarter is long too, and so the second run does not follow at once."""


class Pace:
    """Decides when repeated work is due; the longer it takes, the rarer it is.

    Parameters
    ----------
    every_s : least time from one start to the next
    share : limit of the share of time spent on the work. Of two runs in succession, the shorter
        counts: a single long one includes compilation, or waited for a busy machine. Of the first
        one, a quarter counts
    """

    def __init__(self, clock: Clock, *, every_s: float, share: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._share = share
        self._took_before_s: float | None = None
        self._due_at = clock.monotonic()

    def is_due(self) -> bool:
        """Whether the work is due."""
        return self.wait_s() == 0.0

    def wait_s(self) -> float:
        """Seconds until the work is due; 0 if it is."""
        return max(self._due_at - self._clock.monotonic(), 0.0)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Measure the work; wrap it in this context."""
        began = self._clock.monotonic()
        self._due_at = began + self._every_s
        yield
        took_s = self._clock.monotonic() - began
        before_s = self._took_before_s
        counted_s = took_s * _SHARE_OF_FIRST if before_s is None else min(took_s, before_s)
        self._due_at = began + max(self._every_s, counted_s / self._share)
        self._took_before_s = took_s
