from collections.abc import Collection
from dataclasses import dataclass, field

from services.contracts.identity import FrameId, NeedleId
from services.domain.ports.openings import Opened


@dataclass
class InMemoryOpenings:
    needles: set[NeedleId] = field(default_factory=set)
    frames: set[FrameId] = field(default_factory=set)

    async def among(
        self, needle_ids: Collection[NeedleId], frame_ids: Collection[FrameId]
    ) -> Opened:
        return Opened(
            frozenset(self.needles.intersection(needle_ids)),
            frozenset(self.frames.intersection(frame_ids)),
        )
