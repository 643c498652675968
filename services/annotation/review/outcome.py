"""The result of a review: verdicts, corrections, and mean average precision since then."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.annotation.ports.needle_filters import ANY_NEEDLE, NeedleFilter
from services.annotation.ports.needle_lists import ReviewWork
from services.annotation.review.annotator_work import PAUSE
from services.annotation.review.context import ReviewContext
from services.annotation.review.listing import View
from services.contracts.identity import DetectorId
from services.domain.metrics.ap_recovered import RepairGain
from services.domain.ports.figures import Figures
from services.domain.ports.repair_gains import ALL_FAMILIES

_SINCE = timedelta(days=30)


@dataclass(frozen=True)
class Change:
    """One figure of a detector, at the first and at the last time it was recorded."""

    name: str
    before: float | None
    now: float | None


@dataclass(frozen=True)
class DetectorChange:
    """A detector's figures over the last thirty days.

    Attributes
    ----------
    since : thirty days ago, or when the first of them was recorded
    gain : what repairing the reviewed frames gains; None before it is computed
    """

    detector: str
    since: datetime
    changes: Sequence[Change]
    gain: RepairGain | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a review.

    Attributes
    ----------
    work : the review work of the view
    elsewhere : number of shortlists to review outside the view
    corrections : revisions of ground truth that this page has published
    hours : of people's work on all shortlists
    """

    work: ReviewWork
    elsewhere: int
    corrections: int
    hours: float
    detectors: Sequence[DetectorChange]


async def review_outcome(context: ReviewContext, view: View) -> Outcome:
    """The result of the review of a view.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    everything, viewed, changes, corrections, gains, spent = await asyncio.gather(
        _work(context, ANY_NEEDLE),
        _work(context, replace(view.wanted, stage=None)),
        _changes(context, view.wanted.detector),
        context.corrector.corrections.count_published(),
        context.stores.repair_gains.all(),
        _hours(context),
    )
    detectors = [
        replace(change, gain=gains.get(DetectorId(change.detector), {}).get(ALL_FAMILIES))
        for change in changes
    ]
    elsewhere = max(everything.to_review - viewed.to_review, 0)  # counted at two moments
    return Outcome(viewed, elsewhere, corrections, spent, detectors)


async def _work(context: ReviewContext, wanted: NeedleFilter) -> ReviewWork:
    """The review work of the needles that a filter selects."""
    groups = await context.stores.needle_lists.groups(wanted)
    return sum((group.work for group in groups), ReviewWork())


async def _hours(context: ReviewContext) -> float:
    spent = await context.stores.reviews.time_by_needle(PAUSE)
    return sum(spent.values(), timedelta(0)) / timedelta(hours=1)


async def _changes(context: ReviewContext, wanted: str | None) -> list[DetectorChange]:
    """How the figures of every detector, or of this one, have changed."""
    start, figures = context.clock.now() - _SINCE, context.stores.figures
    names = [name for name in await figures.detectors() if wanted in (None, name)]
    ends = await asyncio.gather(*(figures.history(name, start, 2) for name in names))
    return [_change(rows) for rows in ends if rows]


def _change(rows: Sequence[Figures]) -> DetectorChange:
    first, last = rows[0], rows[-1]
    changes = [
        Change(f"mAP of {name}", first.map.get(subset), last.map.get(subset))
        for subset, name in (("R", "R"), ("H", "H"), ("S", "S"), ("H-S", "H\u2212S"))
    ]
    yields = Change("Shortlist yield", first.found, last.found)
    return DetectorChange(last.detector, first.at, [*changes, yields])
