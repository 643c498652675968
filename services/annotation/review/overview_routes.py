"""The start page: kinds of failure first, for that is what a person wants to read first."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.annotation.review.desk import ReviewContext
from services.annotation.review.guard import In
from services.annotation.review.rendering import Pages
from services.domain.ports.needle_filters import NeedleFilter, Stage
from services.domain.ports.reviews import Progress
from services.runtime.stores.needle_lists import NeedleGroup
from services.runtime.stores.needle_modes import FailureModeCounts

_SHOWN = 200
_RECENT = 12


@dataclass(frozen=True)
class ModeView:
    """A kind of failure with how far its review is."""

    mode: FailureModeCounts
    done: int
    started: int

    @property
    def bars(self) -> list[tuple[int, float]]:
        """Place and height of each bar of the trend, heights from 0 to 1."""
        most = max(self.mode.trend, default=0) or 1
        return [(place, count / most) for place, count in enumerate(self.mode.trend)]


def overview_routes(desk: ReviewContext, pages: Pages) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/")
    async def overview(request: Request, session: In) -> Response:
        modes, kinds, recent, todo = await asyncio.gather(
            desk.modes.modes(),
            desk.lists.kinds(),
            desk.reviews.recent(_RECENT),
            desk.lists.count(NeedleFilter(stage=Stage.TODO)),
        )
        progress = {item: sum(k.count for k in kinds if k.progress is item) for item in Progress}
        return pages.html(
            request,
            "overview.html",
            session=session,
            modes=[_view(mode, kinds) for mode in modes[:_SHOWN]],
            progress=progress,
            total=sum(progress.values()),
            recent=recent,
            todo=todo,
        )

    return router


def _view(mode: FailureModeCounts, kinds: list[NeedleGroup]) -> ModeView:
    own = [
        kind
        for kind in kinds
        if (kind.family, kind.detector, kind.category, kind.error_type, kind.true_category)
        == (mode.family, mode.detector, mode.category, mode.error_type, mode.true_category)
    ]
    return ModeView(
        mode,
        done=sum(kind.count for kind in own if kind.progress is Progress.DONE),
        started=sum(kind.count for kind in own if kind.progress is Progress.STARTED),
    )
