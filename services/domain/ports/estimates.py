"""The protocol of the store of estimates: each detector's precision without ground truth."""

from collections.abc import Mapping
from typing import Protocol

from services.contracts.identity import DetectorId
from services.domain.metrics.estimated_precision import EstimatedStream


class EstimateStore(Protocol):
    """Estimates by detector."""

    async def show(self, estimates: Mapping[DetectorId, EstimatedStream]) -> None:
        """Replace all estimates by these.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def all(self) -> dict[DetectorId, EstimatedStream]:
        """All estimates, in the order of their detectors."""
        ...
