"""The start page: failure modes, review progress, latest decisions."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
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
        modes=[*mode_views(modes[:_SHOWN], groups)],
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
    return csv_table("failure-modes", _COLUMNS, map(_cells, mode_views(modes, groups)))


def mode_views(
    modes: Iterable[FailureModeCounts], groups: Iterable[NeedleGroup]
) -> Iterator[ModeView]:
    """Each mode with the work of its groups."""
    # By mode first: there can be thousands of modes, and more groups.
    works: defaultdict[Hashable, ReviewWork] = defaultdict(ReviewWork)
    for group in groups:
        works[_mode_of(group)] += group.work
    return (ModeView(mode, works[_mode_of(mode)]) for mode in modes)


def _mode_of(counted: FailureModeCounts | NeedleGroup) -> Hashable:
    error = (counted.error_type, counted.true_category)
    return counted.family, counted.detector, counted.category, *error


def _cells(view: ModeView) -> tuple[object, ...]:
    mode, work = view.mode, view.work
    return (
        *(mode.category, mode.error_type.value, mode.true_category, mode.detector, mode.family),
        *(mode.size, work.shortlists, work.frames, work.decided, work.accepted, work.unsure),
        *(mode.resolved, mode.suspects, mode.first_seen.isoformat(), mode.last_seen.isoformat()),
    )
