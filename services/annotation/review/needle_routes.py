"""The list of needles, the page of one needle, and the acts on it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from services.annotation.ports.needle_filters import Sort, Stage
from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.ports.reviews import Act
from services.annotation.review.context import ReviewContext
from services.annotation.review.decisions import Seen
from services.annotation.review.edits import Edit
from services.annotation.review.guard import Form, In, whole_number
from services.annotation.review.listing import PAGE_SIZE, View, choices, total, work
from services.annotation.review.needle_view import needle_view, until
from services.annotation.review.queued_acts import act_id, refused_act, seen_acts, taken_act
from services.annotation.review.rendering import Pages, is_fragment
from services.annotation.review.reviewing import Lost, Refusal, Reviewer, Target
from services.annotation.review.sessions import Session
from services.contracts.errors import Invalid, Transient
from services.contracts.events import Candidate, NeedleFound
from services.contracts.identity import Category, NeedleId, RegionId
from services.domain.ports.needles import NeedleRecord

_ACTS = {"accept": Act.ACCEPT, "reject": Act.REJECT}
_LONGEST_CATEGORY = 100
Work = Callable[[Reviewer], Awaitable[Refusal | None]]


def needle_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the needles."""
    router = APIRouter()
    answers = _Answers(context, pages)

    @router.get("/needles")
    async def needles(request: Request, session: In) -> Response:
        return await answers.listed(request, session)

    @router.get("/needles/more")
    async def more(request: Request, session: In) -> Response:
        return await answers.more(request, session)

    @router.get("/needles/relatives")
    async def relatives(request: Request, session: In) -> Response:
        return await answers.relatives(request, session)

    @router.get("/needles/{needle_id}")
    async def needle(request: Request, needle_id: str, session: In) -> Response:
        return await answers.shown(request, session, NeedleId(needle_id))

    @router.post("/needles/{needle_id}/decisions")
    async def decide(request: Request, needle_id: str, session: In, form: Form) -> Response:
        act = _ACTS.get(str(form.get("act")))
        seen = _seen(form)
        if act is None or not seen.regions:
            text = "Mark at least one candidate first: press its number, or click it."
            return await answers.refused(request, session, NeedleId(needle_id), text, form)
        return await answers.changed(
            request, session, NeedleId(needle_id), form, lambda reviewer: reviewer.decide(act, seen)
        )

    @router.post("/needles/{needle_id}/undo")
    async def undo(request: Request, needle_id: str, session: In, form: Form) -> Response:
        wanted = str(form.get("undoes", ""))
        return await answers.changed(
            request, session, NeedleId(needle_id), form, lambda reviewer: reviewer.undo(wanted)
        )

    @router.post("/needles/{needle_id}/corrections")
    async def correct(request: Request, needle_id: str, session: In, form: Form) -> Response:
        return await answers.changed(
            request, session, NeedleId(needle_id), form, lambda reviewer: _corrected(reviewer, form)
        )

    @router.post("/needles/{needle_id}/claim")
    async def claim(request: Request, needle_id: str, session: In, form: Form) -> Response:
        record = await answers.record(NeedleId(needle_id))
        claim = await context.reviews.claim(
            record.needle_id,
            until(context, session),
            context.clock.now(),
            by_force=form.get("force") == "yes",
        )
        own = claim.is_of(session.by)
        values: dict[str, Any] = {"needle_id": record.needle_id, "claim": claim, "own": own}
        return pages.html(request, "claim.html", session=session, **values)

    return router


async def _corrected(reviewer: Reviewer, form: FormData) -> Refusal | None:
    target = _target(reviewer.record, str(form.get("region", "")))
    edit = next((item for item in Edit if item.value == form.get("edit")), None)
    after = whole_number(form.get("revision"))
    if target is None or edit is None or after is None:
        return Refusal(Lost.NOTHING, "This region is no longer on the shortlist.")
    name = str(form.get("category", "")).strip()[:_LONGEST_CATEGORY]
    category = target.category if edit is Edit.NO_OBJECT else Category(name)
    if not category or not category.isprintable():
        return Refusal(Lost.NOTHING, "Name a category.")
    return await reviewer.correct(target, edit, category, after, seen_acts(form))


def _target(record: NeedleRecord, region: str) -> Target | None:
    known: list[NeedleFound | Candidate] = [record.needle] if record.needle else []
    known += record.shortlist.candidates if record.shortlist else ()
    return next((Target.of(needle) for needle in known if needle.region_id == region), None)


def _seen(form: FormData) -> Seen:
    regions = {}
    for value in form.getlist("region"):
        region, _, text = str(value).rpartition("@")
        version = whole_number(text)
        if region and version is not None:
            regions[RegionId(region)] = version
    return Seen(regions, whole_number(form.get("drawn")) or 0, seen_acts(form))


class _Answers:
    """What the routes share: loading, rendering and refusing."""

    def __init__(self, context: ReviewContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    async def record(self, needle_id: NeedleId) -> NeedleRecord:
        found = (await self._context.needles.load([needle_id])).get(needle_id)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such needle.")
        return found

    async def listed(self, request: Request, session: Session) -> Response:
        view = View.of(request.query_params)
        context, wanted = self._context, view.wanted
        whole = replace(wanted, stage=None)
        rows, groups = await asyncio.gather(
            context.lists.page(wanted, view.sort, skip=view.skip, limit=PAGE_SIZE),
            context.lists.kinds(),
        )
        counted, needles = (total(groups, item) for item in (wanted, whole))
        return self._pages.html(
            request,
            "needles.html",
            session=session,
            choices=choices(groups),
            stages=list(Stage),
            sorts=list(Sort),
            total=await context.lists.count(wanted) if counted is None else counted,
            needles=await context.lists.count(whole) if needles is None else needles,
            work=None if wanted.drive else work(groups, wanted),
            **await self._rows(view, rows),
        )

    async def more(self, request: Request, session: Session) -> Response:
        """The rows after the last needle of the list; the list's first page gave the total."""
        view = View.of(request.query_params)
        last = await self.record(NeedleId(request.query_params.get("after", "")))
        rows = await self._context.lists.page(
            view.wanted, view.sort, limit=PAGE_SIZE, after=last.needle
        )
        of = whole_number(request.query_params.get("of")) or 0
        values = await self._rows(view, rows)
        return self._pages.html(request, "needle_rows.html", session=session, total=of, **values)

    async def relatives(self, request: Request, session: Session) -> Response:
        """The other needles of a needle's family, as rows of a list."""
        view = View.of(request.query_params)
        shown = NeedleId(request.query_params.get("of", ""))
        rows = await self._context.lists.page(view.wanted, view.sort, limit=PAGE_SIZE)
        others = [row for row in rows if row.needle.needle_id != shown]
        values = await self._rows(view, others)
        return self._pages.html(
            request, "needle_rows.html", session=session, total=0, **(values | {"under": shown})
        )

    async def _rows(self, view: View, rows: Sequence[NeedleRow]) -> dict[str, Any]:
        ids = [row.needle.needle_id for row in rows]
        claims = await self._context.reviews.claims(ids, self._context.clock.now())
        return {"view": view, "rows": rows, "claims": claims, "under": None}

    async def shown(
        self,
        request: Request,
        session: Session,
        needle_id: NeedleId,
        *,
        error: str = "",
        status: int = HTTPStatus.OK,
    ) -> Response:
        """The needle as it is now; only the changing part if htmx asks."""
        context = self._context
        record = await self.record(needle_id)
        view = View.of(request.query_params)
        shown = await needle_view(context, record, session, view)
        if shown is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such needle.")
        return self._pages.html(
            request,
            "work.html" if is_fragment(request) else "needle.html",
            fragment=is_fragment(request),
            session=session,
            status=status,
            shown=shown,
            error=error,
            categories=await context.categories.all(),
            edits=list(Edit),
            tool=context.settings.annotation_tool,
        )

    async def refused(
        self, request: Request, session: Session, needle_id: NeedleId, text: str, form: FormData
    ) -> Response:
        if act_id(form):
            return refused_act(self._pages, request, session, text)
        # htmx shows the answer whatever its status, so the status can be the true one.
        return await self.shown(request, session, needle_id, error=text, status=HTTPStatus.CONFLICT)

    async def changed(
        self,
        request: Request,
        session: Session,
        needle_id: NeedleId,
        form: FormData,
        work: Work,
    ) -> Response:
        queued = act_id(form)
        reviewer = Reviewer(self._context, session, await self.record(needle_id), queued)
        try:
            refusal = await work(reviewer)
        except Invalid as exc:
            text = f"{exc}. Your change was not saved."
            return await self.refused(request, session, needle_id, text, form)
        except Transient:
            if queued:
                raise  # the page keeps the act and sends it again
            text = "The broker does not answer. Your correction is stored and will be sent later."
            return await self.refused(request, session, needle_id, text, form)
        if refusal is not None:
            return await self.refused(request, session, needle_id, refusal.text, form)
        if queued:
            return taken_act({"Review-Version": str(await reviewer.version())})
        if is_fragment(request):
            return await self.shown(request, session, needle_id)
        root = request.scope.get("root_path", "").rstrip("/")
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{root}/needles/{needle_id}{query}", HTTPStatus.SEE_OTHER)
