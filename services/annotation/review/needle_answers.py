"""What the routes of needles share: loading, rendering and refusing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Response
from starlette.datastructures import FormData

from services.annotation.ports.needle_filters import Sort, Stage
from services.annotation.review.context import Context, ReviewContext
from services.annotation.review.family_verdicts import MAX_AT_ONCE
from services.annotation.review.listing import PAGE_SIZE, View, WantedView, choices, total, work
from services.annotation.review.needle_view import needle_view
from services.annotation.review.outcome import review_outcome
from services.annotation.review.page import Page, PageRenderer
from services.annotation.review.queued_acts import act_id, refused_act, taken_act
from services.annotation.review.refusals import Lost, Refusal
from services.annotation.review.reviewing import Reviewer
from services.contracts.errors import Invalid, Transient
from services.contracts.identity import NeedleId
from services.contracts.needles import NeedleFound
from services.domain.ports.needles import NeedleRecord

_NO_NEEDLE = "There is no such needle."
_AHEAD = 10
"""Needles read at once, to find the first that nobody else has claimed."""
Change = Callable[[Reviewer], Awaitable[Refusal | None]]
"""Makes one change of a review; returns why it is refused, or None."""


class NeedleAnswers:
    """Answers to one request about needles, which has a view of their list in its address."""

    def __init__(self, context: ReviewContext, page: PageRenderer, view: View) -> None:
        self._context = context
        self._page = page
        self.view = view

    async def record(self, needle_id: NeedleId) -> NeedleRecord:
        """The stored needle.

        Raises
        ------
        HTTPException
            404: there is none of this id.
        """
        found = (await self._context.stores.needles.load([needle_id])).get(needle_id)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_NEEDLE)
        return found

    async def listed(self, message: str = "") -> Response:
        """A page of the list."""
        view, stores = self.view, self._context.stores
        wanted = view.wanted
        whole = replace(wanted, stage=None)
        rows, groups, saved = await asyncio.gather(
            self._rows(skip=view.skip),
            stores.needle_lists.groups(),
            stores.saved_views.of(self._page.session.by),
        )
        counted, needles = (total(groups, item) for item in (wanted, whole))
        return self._page.html(
            "needles.html",
            message=message,
            saved=saved,
            choices=choices(groups),
            stages=list(Stage),
            sorts=list(Sort),
            most_at_once=MAX_AT_ONCE,
            total=await stores.needle_lists.count(wanted) if counted is None else counted,
            needles=await stores.needle_lists.count(whole) if needles is None else needles,
            work=None if wanted.drive or wanted.tag else work(groups, wanted),
            **rows,
        )

    async def more(self, after: NeedleId, *, total: int) -> Response:
        """The rows after a needle of the list, whose first page gave the total."""
        last = await self._context.stores.needle_lists.found(after)
        if last is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_NEEDLE)
        rows = await self._rows(after=last)
        return self._page.html("needle_rows.html", total=total, **rows)

    async def relatives(self, needle_id: NeedleId) -> Response:
        """The other needles of a needle's family, as rows of a list."""
        values = await self._rows()
        others = [row for row in values["rows"] if row.needle.needle_id != needle_id]
        values |= {"rows": others, "under": needle_id}
        return self._page.html("needle_rows.html", total=0, **values)

    async def _rows(self, *, skip: int = 0, after: NeedleFound | None = None) -> dict[str, Any]:
        """What the template of rows needs, for one page of the view."""
        stores, view = self._context.stores, self.view
        ids = await stores.needle_lists.ids(
            view.wanted, view.sort, skip=skip, limit=PAGE_SIZE, after=after
        )
        rows, claims = await asyncio.gather(
            stores.needle_lists.rows(ids),
            stores.reviews.claims(ids, self._context.clock.now()),
        )
        return {"view": view, "rows": rows, "claims": claims, "under": None}

    async def shown(
        self, needle_id: NeedleId, *, error: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        """The needle as it is now; only the changing part if htmx asks."""
        context, page = self._context, self._page
        record = await self.record(needle_id)
        shown, categories = await asyncio.gather(
            needle_view(context, record, page.session, self.view),
            context.stores.categories.all(),
        )
        if shown is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_NEEDLE)
        return page.html(
            "work.html" if page.is_fragment else "needle.html",
            fragment=page.is_fragment,
            status=status,
            shown=shown,
            error=error,
            categories=categories,
            unfiltered=View().wanted,
            tool=context.settings.annotation_tool,
            searches=context.similar is not None,
        )

    async def next_to_review(self, needle_id: NeedleId) -> Response:
        """The view's next needle to review after this one; at its end, its first, or the result.

        Needles that other people have claimed are left to them while there are others.
        """
        view = self.view.first_page()
        found = await self._to_review(await self.record(needle_id), view)
        path = f"/needles/{found}{view.query()}" if found else f"/done{view.query(after=needle_id)}"
        if not self._page.is_fragment:
            return self._page.redirect(path)
        answer = await (self.shown(found) if found else self.finished(needle_id))
        answer.headers["HX-Push-Url"] = self._page.address(path)
        return answer

    async def _to_review(self, record: NeedleRecord, view: View) -> NeedleId | None:
        first, by = None, self._page.session.by
        async for ids in self._ahead(record, view):
            others = [found for found in ids if found != record.needle_id]
            claims = await self._context.stores.reviews.claims(others, self._context.clock.now())
            for found in others:
                if found not in claims or claims[found].is_of(by):
                    return found
            first = first or next(iter(others), None)
        return first

    async def _ahead(self, record: NeedleRecord, view: View) -> AsyncIterator[list[NeedleId]]:
        """The view's needles to review after this one, then from its first on, in parts."""
        ids = self._context.stores.needle_lists.ids
        listed = partial(ids, view.to_review, view.sort, limit=_AHEAD)
        for after in (record.needle, None):
            skip = 0
            while found := await listed(after=after, skip=skip):
                yield found
                skip += _AHEAD

    async def finished(self, after: str) -> Response:
        """The result of the review of a view, for who comes from this needle."""
        view = self.view.first_page()
        return self._page.html(
            "finished.html" if self._page.is_fragment else "done.html",
            view=view,
            after=after,
            outcome=await review_outcome(self._context, view),
        )

    async def refused(self, needle_id: NeedleId, text: str, form: FormData) -> Response:
        """Why a form was not carried out."""
        if act_id(form):
            return refused_act(self._page, text)
        # htmx shows the answer whatever its status, so the status can be the true one.
        return await self.shown(needle_id, error=text, status=HTTPStatus.CONFLICT)

    async def changed(self, needle_id: NeedleId, form: FormData, change: Change) -> Response:
        """Make a change of the review; then the needle as it is, or why the change is refused."""
        queued, page = act_id(form), self._page
        reviewer = Reviewer(self._context, page.session, await self.record(needle_id), queued)
        try:
            refusal = await change(reviewer)
        except Invalid as exc:
            text = f"{exc}. Your change was not saved."
            return await self.refused(needle_id, text, form)
        except Transient:
            if queued:
                raise  # the page keeps the act and sends it again
            text = "The broker does not answer. Your correction is stored and will be sent later."
            return await self.refused(needle_id, text, form)
        if refusal is not None:
            if queued and refusal.why is Lost.UNRECORDED:  # the page sends the act again, as above
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, refusal.text)
            return await self.refused(needle_id, refusal.text, form)
        if queued:
            return taken_act({"Review-Version": str(await reviewer.version())})
        if page.is_fragment:
            return await self.shown(needle_id)
        query = f"?{page.request.url.query}" if page.request.url.query else ""
        return page.redirect(f"/needles/{needle_id}{query}")


async def answers_of(context: Context, page: Page, view: WantedView) -> NeedleAnswers:
    """Answers to this request."""
    return NeedleAnswers(context, page, view)


Answers = Annotated[NeedleAnswers, Depends(answers_of)]
