"""The protocol for finding frames by what captured them, and when."""

from datetime import datetime
from typing import NamedTuple, Protocol

from services.contracts.identity import FrameId, VehicleId


class Capture(NamedTuple):
    """A frame and its capture time."""

    frame_id: FrameId
    captured_at: datetime


class Captures(Protocol):
    """Stored frames by vehicle and capture time."""

    async def near(self, vehicle_id: VehicleId, at: datetime, within_s: float) -> list[Capture]:
        """The vehicle's frames that were captured at most `within_s` seconds before or after.

        To the millisecond.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...
