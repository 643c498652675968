"""The protocol of the store of comparisons of detector versions: JSON without frame ids."""

from collections.abc import Mapping
from typing import Protocol

from services.contracts.identity import DetectorId

Versions = tuple[DetectorId, DetectorId]
"""The old and the new one."""


class ComparisonStore(Protocol):
    """JSON documents by pair of versions."""

    async def show(self, comparisons: Mapping[Versions, bytes]) -> None:
        """Replace all documents by these.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def all(self) -> dict[Versions, bytes]:
        """All documents, in the order of their versions."""
        ...
