"""How often work is done whose cost grows with what is held."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.runtime.clock import Clock


class Pace:
    """Work is due again after a while; after a longer one where it takes long.

    Parameters
    ----------
    every_s : from one beginning to the next, at least
    share : of the time, at most this is spent on it. How long the first time took does not count:
        it compiles what later ones find ready
    """

    def __init__(self, clock: Clock, *, every_s: float, share: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._share = share
        self._warm = False
        self._due_at = clock.monotonic()

    def is_due(self) -> bool:
        """Whether it is time."""
        return self._clock.monotonic() >= self._due_at

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around the work."""
        began = self._clock.monotonic()
        self._due_at = began + self._every_s
        yield
        if self._warm:
            took = self._clock.monotonic() - began
            self._due_at = began + max(self._every_s, took / self._share)
        self._warm = True
