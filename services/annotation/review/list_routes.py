"""Lists of needles, and the result of their review."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Response

from services.annotation import needle_table
from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_file
from services.annotation.review.drive_map import drive_map
from services.annotation.review.family_verdicts import FamilyVerdict, decide_family
from services.annotation.review.guard import Form, LoggedIn, whole_number
from services.annotation.review.listing import View, WantedView
from services.annotation.review.needle_answers import Answers
from services.annotation.review.page import Page
from services.annotation.review.verdict_forms import note_of, verdict_of
from services.contracts.identity import NeedleId

router = APIRouter()

_BATCH = 500
_PLACED = 500
"""Needles on the map; more would cover each other."""
_PATH_FRAMES = 20_000
"""Frames of the drives on the map, and of others: 300 kB of the page each."""


@router.get("/needles")
async def needles(answers: Answers) -> Response:
    """A page of the list."""
    return await answers.listed()


@router.get("/needles.csv")
async def needles_csv(_: LoggedIn, context: Context, view: WantedView) -> Response:
    """The whole list."""
    return csv_file("needles", needle_table.COLUMNS, _rows(context, view))


@router.get("/needles/map")
async def needle_map(page: Page, context: Context, view: WantedView) -> Response:
    """The first needles of the list on a map of their drives."""
    stores, view = context.stores, view.first_page()
    rows = await stores.needle_lists.page(view.wanted, view.sort, limit=_PLACED)
    drives = {row.needle.drive_id for row in rows if row.needle.drive_id}
    positions, paths, others = await asyncio.gather(
        stores.frame_places.of([row.needle.frame_id for row in rows]),
        stores.frame_places.paths(drives, _PATH_FRAMES),
        stores.frame_places.sample(_PATH_FRAMES),
    )
    drawn = await asyncio.to_thread(
        drive_map, rows, positions, paths, others, base_map=context.base_map
    )
    return page.html("needle_map.html", view=view, count=len(rows), map=drawn)


@router.get("/needles/more")
async def more(answers: Answers, after: str = "", of: str = "") -> Response:
    """The rows after a needle of the list, whose first page gave the total."""
    return await answers.more(NeedleId(after), total=whole_number(of) or 0)


@router.get("/needles/relatives")
async def relatives(answers: Answers, of: str = "") -> Response:
    """The other needles of a needle's family, as rows of a list."""
    return await answers.relatives(NeedleId(of))


@router.post("/needles/decisions")
async def decide_all(page: Page, form: Form, context: Context, answers: Answers) -> Response:
    """Decide every undecided candidate of a family."""
    family = answers.view.wanted.family
    act = verdict_of(form)
    if family is None or act is None:
        return await answers.listed("Choose a family and a verdict first.")
    decided = await decide_family(context, page.session, family, act, note_of(form))
    return await answers.listed(_in_words(decided))


@router.get("/done")
async def done(answers: Answers, after: str = "") -> Response:
    """The result of the review of a view."""
    return await answers.finished(after)


def _in_words(decided: FamilyVerdict) -> str:
    sentences = [f"{_shortlists(decided.shortlists)} decided."]
    if decided.shortlists:
        sentences.append("Undo on a needle's page takes it back.")
    if decided.claimed:
        sentences.append(f"{_shortlists(decided.claimed)} left to the people at work on them.")
    if decided.beyond:
        sentences.append(f"{_shortlists(decided.beyond)} of the family left: decide again.")
    return " ".join((*sentences, *decided.refused))


def _shortlists(count: int) -> str:
    return f"{count:,} shortlist{'' if count == 1 else 's'}"


async def _rows(context: Context, view: View) -> AsyncIterator[tuple[object, ...]]:
    """Every needle of a view, whatever its page."""
    last = None
    while rows := await context.stores.needle_lists.page(
        view.wanted, view.sort, limit=_BATCH, after=last
    ):
        for row in rows:
            yield needle_table.cells(row)
        last = rows[-1].needle
