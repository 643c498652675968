"""What the routes of needles share: loading, rendering and refusing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from services.annotation.ports.needle_filters import Sort, Stage
from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import whole_number
from services.annotation.review.listing import PAGE_SIZE, View, choices, total, work
from services.annotation.review.needle_view import needle_view
from services.annotation.review.outcome import review_outcome
from services.annotation.review.queued_acts import act_id, refused_act, taken_act
from services.annotation.review.rendering import Pages, is_fragment
from services.annotation.review.reviewing import Refusal, Reviewer
from services.annotation.review.sessions import Session
from services.contracts.errors import Invalid, Transient
from services.contracts.identity import NeedleId
from services.domain.ports.needles import NeedleRecord

Work = Callable[[Reviewer], Awaitable[Refusal | None]]


class NeedleAnswers:
    """Answers about needles, for the session's person."""

    def __init__(self, context: ReviewContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    async def record(self, needle_id: NeedleId) -> NeedleRecord:
        found = (await self._context.needles.load([needle_id])).get(needle_id)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such needle.")
        return found

    async def listed(self, request: Request, session: Session, message: str = "") -> Response:
        view = View.of(request.query_params)
        context, wanted = self._context, view.wanted
        whole = replace(wanted, stage=None)
        rows, groups, saved = await asyncio.gather(
            context.lists.page(wanted, view.sort, skip=view.skip, limit=PAGE_SIZE),
            context.lists.kinds(),
            context.views.of(session.by),
        )
        counted, needles = (total(groups, item) for item in (wanted, whole))
        return self._pages.html(
            request,
            "needles.html",
            session=session,
            message=message,
            saved=saved,
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
            unfiltered=View().wanted,
            tool=context.settings.annotation_tool,
            searches=context.similar is not None,
        )

    async def next_to_review(
        self, request: Request, session: Session, needle_id: NeedleId
    ) -> Response:
        """The view's next needle to review after this one; at its end, its first, or the result."""
        view = View.of(request.query_params).first_page()
        found = await self._to_review(await self.record(needle_id), view)
        base = request.scope.get("root_path", "").rstrip("/")
        tail = view.query() if found else view.query(after=needle_id)
        address = f"{base}/needles/{found}{tail}" if found else f"{base}/done{tail}"
        if not is_fragment(request):
            return RedirectResponse(address, HTTPStatus.SEE_OTHER)
        if found:
            answer = await self.shown(request, session, found)
        else:
            answer = await self.finished(request, session, after=needle_id)
        answer.headers["HX-Push-Url"] = address
        return answer

    async def _to_review(self, record: NeedleRecord, view: View) -> NeedleId | None:
        page = partial(self._context.lists.page, view.to_review, view.sort)
        rows = await page(limit=1, after=record.needle) or await page(limit=2)
        ids = (row.needle.needle_id for row in rows)
        return next((found for found in ids if found != record.needle_id), None)

    async def finished(self, request: Request, session: Session, after: str = "") -> Response:
        """The result of the review of a view."""
        view = View.of(request.query_params).first_page()
        context = self._context
        outcome = await review_outcome(context, view)
        return self._pages.html(
            request,
            "finished.html" if is_fragment(request) else "done.html",
            session=session,
            view=view,
            after=after or request.query_params.get("after", ""),
            outcome=outcome,
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
