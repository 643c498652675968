"""The epoch store's protocol: one record per detector and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.contracts.identity import DetectorId
from services.domain.shortlists.epochs import Epoch

EPOCHS_KEPT = 10_000
"""Per detector: more than five hours at two seconds each. Older ones are dropped."""


@dataclass(frozen=True)
class StateChanges:
    """The changes that an epoch made to the state of its detector's stages.

    Attributes
    ----------
    content : in a form that is the retriever's own
    is_whole : whether it is the whole state, so that no earlier changes are needed
    """

    content: bytes
    is_whole: bool


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

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        """Record an epoch durably; False if another process has closed its number.

        Changes before the last whole ones are dropped.
        """
        ...

    async def changes(self, detector: DetectorId, after: int = 0) -> Sequence[StateChanges]:
        """The changes of the epochs after a number, up to the last; none if any is missing.

        They begin with whole ones where those suffice, and where `after` is 0.
        """
        ...

    async def forget_changes(self) -> None:
        """Drop the changes of all detectors: they may name frames that are erased."""
        ...

    async def of(self, detector: DetectorId) -> Sequence[Epoch]:
        """The recorded epochs of a detector, in their order."""
        ...
