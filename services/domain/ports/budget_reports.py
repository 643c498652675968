"""Reports of how much of the budgets is spent, and which frames they hold back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

from services.contracts.identity import Category, DetectorId, FamilyId, FrameId, VehicleId
from services.domain.shortlists.budgets import Budget

MEANINGS: Final[Mapping[Budget, str]] = MappingProxyType(
    {
        Budget.HAYSTACK: "all",
        Budget.DAY: "a day: the latest",
        Budget.VEHICLE: "a vehicle and day: the most",
        Budget.FAMILY: "a family and day: the most",
    }
)
"""The period or group that a report counts for each budget."""


@dataclass(frozen=True)
class HeldBackFrame:
    """A haystack frame that is on no shortlist only because a budget is spent.

    Attributes
    ----------
    error : its probable error type
    taken_for : for a classification error, the probable true category
    worth : what listing it would gain, in the strategy's own unit
    """

    frame_id: FrameId
    vehicle_id: VehicleId
    captured_at: datetime
    category: Category
    error: str
    taken_for: str
    family: FamilyId
    evidence: float
    worth: float
    budget: Budget


@dataclass(frozen=True)
class BudgetReport:
    """The budgets of one detector's shortlists.

    Attributes
    ----------
    sizes : of the budgets that are set
    spent : see `Spending.latest`
    held_back : number of frames held back by each spent budget
    frames : the first of these frames, by falling worth
    """

    detector: DetectorId
    sizes: Mapping[Budget, int]
    spent: Mapping[Budget, int]
    held_back: Mapping[Budget, int]
    frames: Sequence[HeldBackFrame]


class BudgetReports(Protocol):
    """The latest report of each detector."""

    async def show(self, reports: Sequence[BudgetReport]) -> None:
        """Replace all stored reports by these.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def all(self) -> list[BudgetReport]:
        """All reports, by detector."""
        ...
