"""The page of the work: people's verdicts per hour and agreement, and the result of each family."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from fastapi import APIRouter, Response

from services.annotation.ports.needle_lists import NeedleGroup, ReviewWork
from services.annotation.review.annotator_work import PAUSE, PersonWork, Work, WorkCounts
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import LoggedIn
from services.annotation.review.page import Page
from services.annotation.review.spans import DAYS, Period, Span
from services.contracts.identity import Category, DetectorId, FamilyId, NeedleId
from services.domain.metrics.ap_recovered import RepairGain

router = APIRouter()

_PEOPLE = (
    *("person", "verdicts", "corrections", "undone", "hours", "verdicts_per_hour"),
    *("compared", "agreement", "agreement_low", "agreement_high"),
)
_FAMILIES = (
    *("family", "detector", "category", "error_type", "shortlists", "listed", "decided"),
    *("fails_too", "confirmed_in_period", "corrected_in_period", "hours_in_period"),
    *("reviewed_with_truth", "ap_recovered", "map_recovered", "hours", "map_recovered_per_hour"),
)


@dataclass(frozen=True)
class FamilyWork:
    """What was listed for one family of needles, and the result.

    Attributes
    ----------
    work : of all time
    confirmed, corrected, hours : failures confirmed, frames corrected, and people's hours, in the
        period
    gain : what repairing the reviewed frames gains, of all time; None before it is computed
    all_hours : people's hours of all time
    """

    family: str
    detector: str
    category: Category
    error_type: str
    work: ReviewWork
    confirmed: int = 0
    corrected: int = 0
    hours: float = 0.0
    gain: RepairGain | None = None
    all_hours: float = 0.0

    @property
    def map_per_hour(self) -> float | None:
        """The gain in mAP per hour; None without measured time."""
        return self.gain.map / self.all_hours if self.gain and self.all_hours else None

    @property
    def confirmed_per_hour(self) -> float | None:
        """Failures confirmed per hour; None without measured time."""
        return self.confirmed / self.hours if self.hours else None


@router.get("/charts/work")
async def work_page(page: Page, context: Context, span: Period) -> Response:
    """The work of each person and each family."""
    work = await _worked(context, span)
    return page.html(
        "work_done.html",
        people=list(work.period.people.values()),
        families=await _families(context, work),
        spans=list(DAYS),
        span=span,
    )


@router.get("/charts/people.csv")
async def people_csv(_: LoggedIn, context: Context, span: Period) -> Response:
    """The work of each person."""
    work = await _worked(context, span)
    return csv_table("people", _PEOPLE, map(_person_cells, work.period.people.values()))


@router.get("/charts/families.csv")
async def families_csv(_: LoggedIn, context: Context, span: Period) -> Response:
    """The work on each family."""
    found = await _families(context, await _worked(context, span))
    return csv_table("families", _FAMILIES, map(_family_cells, found))


class _Worked(NamedTuple):
    """The work of a period, and by needle what people spent on it ever."""

    period: Work
    time: Mapping[NeedleId, timedelta]


async def _worked(context: Context, span: Span) -> _Worked:
    reviews, start = context.stores.reviews, context.clock.now() - timedelta(days=DAYS[span])
    counts = WorkCounts()
    # Read twice, because a year's acts need not fit into memory.
    async for act in reviews.since(start):
        counts.add_act(act)
    async for acts in reviews.by_needle(start):
        counts.add_needle(acts)
    return _Worked(counts.work(), await reviews.time_by_needle(PAUSE))


async def _families(context: Context, work: _Worked) -> list[FamilyWork]:
    groups, stored = await asyncio.gather(
        context.stores.needle_lists.groups(), context.stores.repair_gains.all()
    )
    gains = {family: gain for gains_of in stored.values() for family, gain in gains_of.items()}
    detectors = sorted({DetectorId(group.detector) for group in groups})
    maps = await asyncio.gather(*(context.stores.family_marks.families(name) for name in detectors))
    families = {needle: family for found in maps for needle, family in found.items()}
    sums = _by_family(work, families)
    by_family: defaultdict[str, list[NeedleGroup]] = defaultdict(list)
    for group in groups:
        if group.family:
            by_family[group.family].append(group)
    found = [
        replace(_family(name, members, sums[FamilyId(name)]), gain=gains.get(name))
        for name, members in by_family.items()
    ]
    listed = [family for family in found if family.work.frames]
    return sorted(listed, key=lambda family: (-family.work.accepted, -family.work.frames))


class _Sums(NamedTuple):
    """What was done for a family in the period."""

    confirmed: int = 0
    corrected: int = 0
    time: timedelta = timedelta(0)
    time_ever: timedelta = timedelta(0)


def _by_family(work: _Worked, families: Mapping[NeedleId, FamilyId]) -> Mapping[FamilyId, _Sums]:
    sums: defaultdict[FamilyId, _Sums] = defaultdict(_Sums)
    period = work.period
    for needle in work.time.keys() & families.keys():
        before, family = sums[families[needle]], families[needle]
        sums[family] = _Sums(
            before.confirmed + period.confirmed.get(needle, 0),
            before.corrected + period.corrected.get(needle, 0),
            before.time + period.time.get(needle, timedelta(0)),
            before.time_ever + work.time[needle],
        )
    return sums


def _family(name: str, groups: Sequence[NeedleGroup], sums: _Sums) -> FamilyWork:
    total = sum((group.work for group in groups), ReviewWork())
    first = groups[0]
    return FamilyWork(
        name,
        first.detector,
        first.category,
        first.error_type.value,
        total,
        sums.confirmed,
        sums.corrected,
        sums.time / timedelta(hours=1),
        all_hours=sums.time_ever / timedelta(hours=1),
    )


def _person_cells(person: PersonWork) -> tuple[object, ...]:
    low, high = person.agreement_interval or (None, None)
    return (
        *(person.by, person.verdicts, person.corrections, person.undone),
        *(person.time / timedelta(hours=1), person.per_hour),
        *(person.compared, person.agreement, low, high),
    )


def _family_cells(family: FamilyWork) -> tuple[object, ...]:
    work, gain = family.work, family.gain
    return (
        *(family.family, family.detector, family.category, family.error_type),
        *(work.shortlists, work.frames, work.decided, work.accepted),
        *(family.confirmed, family.corrected, family.hours),
        *((gain.frames, gain.ap, gain.map) if gain else (None, None, None)),
        *(family.all_hours, family.map_per_hour),
    )
