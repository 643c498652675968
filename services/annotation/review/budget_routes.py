"""The page of budgets: what is spent, and which frames the budgets hold back."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from fastapi import APIRouter, Response

from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page
from services.domain.ports.budget_reports import MEANINGS, BudgetReport, HeldBackFrame
from services.domain.shortlists.budgets import Budget

router = APIRouter()

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


@router.get("/budgets")
async def budgets(page: Page, context: Context, detector: str = "", budget: str = "") -> Response:
    """Every budget of a detector, and the frames that one or all of them hold back."""
    reports = await context.stores.budgets.all()
    report = _chosen(reports, detector)
    only = _budget(report, budget)
    frames = _frames(report, only)
    return page.html(
        "budgets.html",
        detectors=[budget_report.detector for budget_report in reports],
        detector=report.detector if report else "",
        budgets=_views(report) if report else [],
        only=only,
        held_back=_count(report, only),
        frames=frames[:_SHOWN],
    )


@router.get("/budgets.csv")
async def held_back_csv(
    _: LoggedIn, context: Context, detector: str = "", budget: str = ""
) -> Response:
    """The frames that are held back."""
    report = _chosen(await context.stores.budgets.all(), detector)
    frames = _frames(report, _budget(report, budget))
    columns = [field.name for field in fields(HeldBackFrame)]
    return csv_table("held-back-frames", columns, (_cells(frame) for frame in frames))


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
