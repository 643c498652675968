from datetime import datetime

from services.contracts.events import FrameCaptured
from services.contracts.identity import VehicleId
from services.domain.ports.captures import Capture


class InMemoryCaptures:
    def __init__(self, *frames: FrameCaptured) -> None:
        self._frames = frames

    async def near(self, vehicle_id: VehicleId, at: datetime, within_s: float) -> list[Capture]:
        return [
            Capture(frame.frame_id, frame.captured_at)
            for frame in self._frames
            if frame.vehicle_id == vehicle_id
            and abs((frame.captured_at - at).total_seconds()) <= within_s
        ]
