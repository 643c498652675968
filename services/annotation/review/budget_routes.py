"""The page of budgets: what is spent, and which frames the budgets hold back."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from fastapi import APIRouter, Request, Response

from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.domain.shortlists.budgets import Budget
from services.runtime.stores.budget_reports import MEANINGS, BudgetReport, HeldBackFrame

_SHOWN = 200


@dataclass(frozen=True)
class BudgetView:
    """One budget: its size, and how much is spent and held back."""

    budget: Budget
    meaning: str
    size: int
    spent: int
    held_back: int

    @property
    def left(self) -> int:
        """Frames that may still be listed."""
        return max(0, self.size - self.spent)

    @property
    def part(self) -> float:
        """The share that is spent, from 0 to 1."""
        return min(1.0, self.spent / self.size) if self.size else 1.0


def budget_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the budgets."""
    router = APIRouter()

    @router.get("/budgets")
    async def budgets(request: Request, session: In) -> Response:
        reports = await context.budgets.all()
        report = _chosen(reports, request.query_params.get("detector", ""))
        only = _budget(report, request.query_params.get("budget", ""))
        frames = _frames(report, only)
        return pages.html(
            request,
            "budgets.html",
            session=session,
            detectors=[budget_report.detector for budget_report in reports],
            detector=report.detector if report else "",
            budgets=_views(report) if report else [],
            only=only,
            held_back=_count(report, only),
            frames=frames[:_SHOWN],
        )

    @router.get("/budgets.csv")
    async def held_back_csv(request: Request, _: In) -> Response:
        reports = await context.budgets.all()
        report = _chosen(reports, request.query_params.get("detector", ""))
        frames = _frames(report, _budget(report, request.query_params.get("budget", "")))
        columns = [field.name for field in fields(HeldBackFrame)]
        return csv_table("held-back-frames", columns, (_cells(frame) for frame in frames))

    return router


def _cells(frame: HeldBackFrame) -> list[object]:
    return [
        value.isoformat() if isinstance(value, datetime) else value
        for value in (getattr(frame, field.name) for field in fields(frame))
    ]


def _chosen(reports: Sequence[BudgetReport], detector: str) -> BudgetReport | None:
    """The report of that detector, or the last report if that detector has none."""
    own = [report for report in reports if report.detector == detector]
    return next(iter([*own, *reversed(reports)]), None)


def _budget(report: BudgetReport | None, name: str) -> Budget | None:
    return next((item for item in report.sizes if item == name), None) if report else None


def _views(report: BudgetReport) -> list[BudgetView]:
    return [
        BudgetView(item, MEANINGS[item], size, report.spent[item], report.held_back[item])
        for item, size in report.sizes.items()
    ]


def _frames(report: BudgetReport | None, only: Budget | None) -> list[HeldBackFrame]:
    return [frame for frame in report.frames if only in (None, frame.budget)] if report else []


def _count(report: BudgetReport | None, only: Budget | None) -> int:
    if report is None:
        return 0
    return sum(count for item, count in report.held_back.items() if only in (None, item))
