"""Reports of how much of the budgets is spent, and which frames they hold back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

from services.contracts.identity import Category, DetectorId, FamilyId, FrameId, VehicleId
from services.domain.shortlists.budgets import Budget
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

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


class MongoBudgetReports:
    """The collection `budgets`: one document per detector."""

    def __init__(self, database: Database) -> None:
        self._budgets = database["budgets"]

    async def show(self, reports: Sequence[BudgetReport]) -> None:
        with translated():
            for report in reports:
                document = asdict(report)
                await self._budgets.replace_one({"_id": report.detector}, document, upsert=True)
            shown = [report.detector for report in reports]
            await self._budgets.delete_many({"_id": {"$nin": shown}})

    async def all(self) -> list[BudgetReport]:
        with translated():
            found = await self._budgets.find().sort("_id", 1).to_list()
        return readable("budgets", found, _report)


def _report(document: Document) -> BudgetReport:
    return BudgetReport(
        detector=document["detector"],
        sizes=_by_budget(document["sizes"]),
        spent=_by_budget(document["spent"]),
        held_back=_by_budget(document["held_back"]),
        frames=[
            HeldBackFrame(**{**item, "budget": Budget(item["budget"])})
            for item in document["frames"]
        ],
    )


def _by_budget(counts: Mapping[str, int]) -> dict[Budget, int]:
    return {Budget(name): count for name, count in counts.items()}
