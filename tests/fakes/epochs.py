from collections.abc import Sequence

from services.contracts.identity import DetectorId
from services.domain.ports.epochs import EPOCHS_KEPT, StateChanges
from services.domain.shortlists.epochs import Epoch


class InMemoryEpochStore:
    def __init__(self) -> None:
        self._epochs: dict[tuple[DetectorId, int], Epoch] = {}
        self._changes: dict[tuple[DetectorId, int], StateChanges] = {}

    async def latest(self) -> dict[DetectorId, Epoch]:
        ordered = sorted(self._epochs.items())
        return {epoch.detector: epoch for _, epoch in ordered}

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        key = epoch.detector, epoch.number
        if key in self._epochs:
            return False
        self._epochs[key] = epoch
        self._epochs.pop((epoch.detector, epoch.number - EPOCHS_KEPT), None)
        if changes.is_whole:
            self._changes = {of: item for of, item in self._changes.items() if of[0] != key[0]}
        self._changes[key] = changes
        return True

    async def changes(self, detector: DetectorId, after: int = 0) -> Sequence[StateChanges]:
        found: list[StateChanges] = []
        for epoch in reversed(await self.of(detector)):
            changes = self._changes.get((detector, epoch.number))
            if changes is None or epoch.number <= after:
                return []
            found.append(changes)
            if changes.is_whole or epoch.number == after + 1 > 1:
                return found[::-1]
        return []

    async def forget_changes(self) -> None:
        self._changes.clear()

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        return [epoch for (of, _), epoch in sorted(self._epochs.items()) if of == detector]
