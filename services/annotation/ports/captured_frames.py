"""The protocol of reading frames without their predictions and ground truth, for pictures."""

from typing import Protocol

from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord


class CapturedFrames(Protocol):
    """How frames were captured."""

    async def of(self, frame_id: FrameId) -> FrameRecord | None:
        """The frame without its predictions and ground truth; None if it is not known.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...
