from collections.abc import Sequence

from services.contracts.identity import DetectorId
from services.domain.ports.epochs import EPOCHS_KEPT
from services.domain.shortlists.epochs import Epoch


class InMemoryEpochStore:
    def __init__(self) -> None:
        self._epochs: dict[tuple[DetectorId, int], Epoch] = {}

    async def latest(self) -> dict[DetectorId, Epoch]:
        ordered = sorted(self._epochs.items())
        return {epoch.detector: epoch for _, epoch in ordered}

    async def close(self, epoch: Epoch) -> bool:
        if (epoch.detector, epoch.number) in self._epochs:
            return False
        self._epochs[epoch.detector, epoch.number] = epoch
        self._epochs.pop((epoch.detector, epoch.number - EPOCHS_KEPT), None)
        return True

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        return [epoch for (of, _), epoch in sorted(self._epochs.items()) if of == detector]
