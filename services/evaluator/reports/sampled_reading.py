"""Reads all frames once and later those that changed, into pools of bounded size."""

from collections.abc import Awaitable, Callable, Collection

from services.contracts.identity import FrameId
from services.domain.ports.matches import MatchStore
from services.evaluator.reports.frame_sample import FrameSample
from services.runtime.clock import Clock
from services.runtime.revised_frames import RevisedFrames

Hold = Callable[[Collection[FrameId] | None, FrameSample], Awaitable[bool]]
"""Reads those of these frames that are in the sample, of all frames for None, into the pools; False
once they are too many."""


class SampledReading:
    """Keeps pools up to date with the stored matches. One call at a time.

    Attributes
    ----------
    sample : the frames that are in the pools
    """

    def __init__(
        self, name: str, matches: MatchStore, clock: Clock, most_frames: int | None
    ) -> None:
        self._name = name
        self._revised = RevisedFrames(matches, clock)
        self.sample = FrameSample(most_frames)

    async def take_in(self, clear: Callable[[], None], hold: Hold) -> None:
        """Read what changed, or everything where the pools must be cleared first.

        Parameters
        ----------
        clear : empties the pools

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        async with self._revised.taken() as frame_ids:
            if frame_ids is None:
                clear()
            fits = await hold(frame_ids, self.sample)
            while not fits:
                # If reading fails, the pools lack frames that have not changed.
                self._revised.forget()
                clear()
                self.sample = self.sample.halved(self._name)
                fits = await hold(None, self.sample)
