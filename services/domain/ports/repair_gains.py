"""What repairing the frames that people reviewed gains, per detector and family of needles."""

from collections.abc import Mapping
from typing import Final, Protocol

from services.contracts.identity import DetectorId
from services.domain.metrics.ap_recovered import RepairGain

ALL_FAMILIES: Final = ""
"""The key of all reviewed frames of a detector."""

GainsByFamily = Mapping[str, RepairGain]


class RepairGains(Protocol):
    """The latest gains of each detector."""

    async def show(self, gains: Mapping[DetectorId, GainsByFamily]) -> None:
        """Replace all gains by these.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def all(self) -> dict[DetectorId, GainsByFamily]:
        """All gains, in the order of the detectors."""
        ...
