"""A uniform sample of frames, which bounds what figures of all records hold in memory."""

from dataclasses import dataclass

import structlog

from services.contracts.identity import FrameId, frame_hash

log = structlog.get_logger()


@dataclass(frozen=True)
class FrameSample:
    """The frames whose hash begins with so many zero bits.

    A frame belongs to it or not whatever other frames there are, in every process.

    Attributes
    ----------
    most : the largest number of frames to hold; None for no limit
    halvings : how often the sample was halved; without, it has all frames
    """

    most: int | None = None
    halvings: int = 0

    def includes(self, frame_id: FrameId) -> bool:
        """Whether a frame is in the sample."""
        return not self.halvings or not int(frame_hash(frame_id), 16) >> 256 - self.halvings

    def fits(self, frames: int) -> bool:
        """Whether so many frames may be held."""
        return self.most is None or frames <= self.most

    def halved(self, name: str) -> "FrameSample":
        """Half of the sample.

        Parameters
        ----------
        name : what is computed from it, for the log
        """
        half = FrameSample(self.most, self.halvings + 1)
        log.warning("frames_sampled", of=name, most=self.most, share=0.5**half.halvings)
        return half
