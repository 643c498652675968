from collections.abc import Sequence

from services.domain.ports.budget_reports import BudgetReport


class InMemoryBudgetReports:
    def __init__(self) -> None:
        self._reports: list[BudgetReport] = []

    async def show(self, reports: Sequence[BudgetReport]) -> None:
        self._reports = sorted(reports, key=lambda report: report.detector)

    async def all(self) -> list[BudgetReport]:
        return list(self._reports)
