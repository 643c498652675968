"""The epoch store's protocol: one record per detector and epoch."""

from collections.abc import Sequence
from typing import Protocol

from services.contracts.identity import DetectorId
from services.domain.shortlists.epochs import Epoch

EPOCHS_KEPT = 10_000
"""Per detector: more than five hours at two seconds each. Older ones are dropped."""


class EpochStore(Protocol):
    """The latest epochs of every detector."""

    async def latest(self) -> dict[DetectorId, Epoch]:
        """The last closed epoch of every detector.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def close(self, epoch: Epoch) -> bool:
        """Record an epoch durably; False if another process has closed its number."""
        ...

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        """The recorded epochs of a detector, in their order."""
        ...
