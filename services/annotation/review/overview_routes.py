"""The start page: failure modes, review progress, latest decisions."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.annotation.ports.needle_filters import NeedleFilter, Stage
from services.annotation.ports.needle_lists import NeedleGroup
from services.annotation.ports.needle_modes import FailureModeCounts
from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.domain.ports.needles import ReviewProgress

_SHOWN = 200
_RECENT = 12


@dataclass(frozen=True)
class ModeView:
    """A failure mode with the progress of its review."""

    mode: FailureModeCounts
    done: int
    started: int

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
        modes, groups, recent, todo = await asyncio.gather(
            context.modes.modes(),
            context.lists.kinds(),
            context.reviews.recent(_RECENT),
            context.lists.count(NeedleFilter(stage=Stage.TODO)),
        )
        progress = {
            item: sum(group.count for group in groups if group.progress is item)
            for item in ReviewProgress
        }
        return pages.html(
            request,
            "overview.html",
            session=session,
            modes=[_view(mode, groups) for mode in modes[:_SHOWN]],
            progress=progress,
            total=sum(progress.values()),
            recent=recent,
            todo=todo,
        )

    return router


def _view(mode: FailureModeCounts, groups: list[NeedleGroup]) -> ModeView:
    own = [
        group
        for group in groups
        if (group.family, group.detector, group.category, group.error_type, group.true_category)
        == (mode.family, mode.detector, mode.category, mode.error_type, mode.true_category)
    ]
    return ModeView(
        mode,
        done=sum(group.count for group in own if group.progress is ReviewProgress.DONE),
        started=sum(group.count for group in own if group.progress is ReviewProgress.STARTED),
    )
