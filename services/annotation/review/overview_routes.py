"""The start page: failure modes, review progress, latest decisions."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Response

from services.annotation.ports.needle_lists import NeedleGroup, ReviewWork
from services.annotation.ports.needle_modes import FailureModeCounts
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page

router = APIRouter()

_SHOWN = 200
_RECENT = 12
_COLUMNS = (
    *("category", "error_type", "true_category", "detector", "family", "needles"),
    *("shortlists", "frames", "decided", "fails_too", "unsure", "resolved", "suspected_labels"),
    *("first_captured", "last_captured"),
)


@dataclass(frozen=True)
class ModeView:
    """A failure mode with the progress of its review."""

    mode: FailureModeCounts
    work: ReviewWork

    @property
    def bars(self) -> list[tuple[int, float]]:
        """Index and height of each bar of the trend; heights are in [0, 1]."""
        most = max(self.mode.trend, default=0) or 1
        return [(index, count / most) for index, count in enumerate(self.mode.trend)]


@router.get("/")
async def overview(page: Page, context: Context) -> Response:
    """The start page."""
    stores = context.stores
    modes, groups, recent = await asyncio.gather(
        stores.needle_modes.modes(), stores.needle_lists.groups(), stores.reviews.recent(_RECENT)
    )
    return page.html(
        "overview.html",
        modes=[_view(mode, groups) for mode in modes[:_SHOWN]],
        work=sum((group.work for group in groups), ReviewWork()),
        total=sum(group.count for group in groups),
        recent=recent,
    )


@router.get("/modes.csv")
async def modes_csv(_: LoggedIn, context: Context) -> Response:
    """Every failure mode."""
    modes, groups = await asyncio.gather(
        context.stores.needle_modes.modes(), context.stores.needle_lists.groups()
    )
    return csv_table("failure-modes", _COLUMNS, (_cells(_view(mode, groups)) for mode in modes))


def _view(mode: FailureModeCounts, groups: list[NeedleGroup]) -> ModeView:
    own = [
        group
        for group in groups
        if (group.family, group.detector, group.category, group.error_type, group.true_category)
        == (mode.family, mode.detector, mode.category, mode.error_type, mode.true_category)
    ]
    return ModeView(mode, sum((group.work for group in own), ReviewWork()))


def _cells(view: ModeView) -> tuple[object, ...]:
    mode, work = view.mode, view.work
    return (
        *(mode.category, mode.error_type.value, mode.true_category, mode.detector, mode.family),
        *(mode.size, work.shortlists, work.frames, work.decided, work.accepted, work.unsure),
        *(mode.resolved, mode.suspects, mode.first_seen.isoformat(), mode.last_seen.isoformat()),
    )
