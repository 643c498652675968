"""The protocol of reading the positions of frames, for maps."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from services.contracts.identity import DriveId, FrameId


class FramePlaces(Protocol):
    """Positions of frames."""

    async def sample(self, limit: int) -> list[tuple[float, float]]:
        """Latitude and longitude of the first frames that have a position, 15 s ago or later.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def of(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, tuple[float, float]]:
        """Latitude and longitude of those of these frames that have a position."""
        ...

    async def paths(
        self, drives: Collection[DriveId], limit: int
    ) -> Mapping[DriveId, Sequence[tuple[float, float]]]:
        """By drive, latitude and longitude of its frames in the order of capture.

        Parameters
        ----------
        limit : number of frames, of all drives together
        """
        ...
