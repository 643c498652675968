"""Reports of budgets in MongoDB."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from services.domain.ports.budget_reports import BudgetReport, HeldBackFrame
from services.domain.shortlists.budgets import Budget
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


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
