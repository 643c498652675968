"""The protocol of finding the frames before and after a frame of the same drive."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import DriveId, FrameId


@dataclass(frozen=True)
class DriveNeighbours:
    """The frames next to a frame; None at an end of the drive."""

    previous: FrameId | None = None
    following: FrameId | None = None


class DriveFrames(Protocol):
    """Frames of drives, by time of capture."""

    async def neighbours(self, frame_id: FrameId, drive: DriveId, at: datetime) -> DriveNeighbours:
        """The neighbours of a frame that was captured at this time.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...
