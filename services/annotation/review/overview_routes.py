"""The start page: failure modes, review progress, latest decisions."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.annotation.ports.needle_lists import NeedleGroup, ReviewWork
from services.annotation.ports.needle_modes import FailureModeCounts
from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages

_SHOWN = 200
_RECENT = 12


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


def overview_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the start page."""
    router = APIRouter()

    @router.get("/")
    async def overview(request: Request, session: In) -> Response:
        modes, groups, recent = await asyncio.gather(
            context.modes.modes(),
            context.lists.kinds(),
            context.reviews.recent(_RECENT),
        )
        return pages.html(
            request,
            "overview.html",
            session=session,
            modes=[_view(mode, groups) for mode in modes[:_SHOWN]],
            work=sum((group.work for group in groups), ReviewWork()),
            total=sum(group.count for group in groups),
            recent=recent,
        )

    return router


def _view(mode: FailureModeCounts, groups: list[NeedleGroup]) -> ModeView:
    own = [
        group
        for group in groups
        if (group.family, group.detector, group.category, group.error_type, group.true_category)
        == (mode.family, mode.detector, mode.category, mode.error_type, mode.true_category)
    ]
    return ModeView(mode, sum((group.work for group in own), ReviewWork()))
