"""Each needle's family, and the protocol of its store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import DetectorId, FamilyId, NeedleId
from services.domain.mining.family_changes import FamilyChange


@dataclass(frozen=True)
class Mark:
    """A needle's place in its family.

    Attributes
    ----------
    family : id of its family; None if it is in none yet
    exemplar : whether the needle is the family's exemplar
    resolved : whether the family is resolved
    suspicion : how likely it is that only the label is missing; None without evidence for that
    """

    family: str | None = None
    exemplar: bool = False
    resolved: bool = False
    suspicion: float | None = None


class FamilyMarks(Protocol):
    """The families of needles, and how they changed."""

    async def show(self, marks: Mapping[NeedleId, Mark], now: datetime) -> int:
        """Write changed marks and remove outdated ones; returns how many.

        Merges and splits are recorded first, under ids derived from their contents: after a crash
        in between, the next call finds the same ones and records them once.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def changes(self, limit: int) -> list[tuple[datetime, FamilyChange]]:
        """The latest merges and splits with the times at which they were noticed, latest first."""
        ...

    async def of(self, needle_id: NeedleId) -> Mark:
        """The mark of one needle."""
        ...

    async def families(self, detector: DetectorId) -> dict[NeedleId, FamilyId]:
        """The family of each of a detector's needles that is in one."""
        ...
