"""Pages of questions from held corrections: unknown labels, and versions to choose from."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from services.annotation.review.context import ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import Form, In, whole_number
from services.annotation.review.questions import (
    QUESTION_COLUMNS,
    choice_address,
    choice_view,
    label_address,
    label_view,
    latest_answers,
    question_list,
    question_rows,
    step_of,
)
from services.annotation.review.queued_acts import refused_act, taken_act
from services.annotation.review.rendering import Pages, is_fragment
from services.annotation.review.sessions import Session
from services.contracts.identity import Category
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)

_LONGEST_LABEL = 1000
_SEE = "see their answer."


def question_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the questions."""
    router = APIRouter()
    answers = _Answers(context, pages)

    @router.get("/questions")
    async def questions(request: Request, session: In) -> Response:
        return await answers.listed(request, session)

    @router.get("/questions.csv")
    async def questions_csv(_: In) -> Response:
        return csv_table("questions", QUESTION_COLUMNS, await question_rows(context))

    @router.get("/questions/label")
    async def label(request: Request, session: In, name: str = "") -> Response:
        return await answers.label(request, session, name[:_LONGEST_LABEL])

    @router.post("/questions/label")
    async def explain(request: Request, session: In, form: Form) -> Response:
        name = str(form.get("label", ""))[:_LONGEST_LABEL]
        meaning = next((item for item in Meaning if item.value == form.get("meaning")), None)
        seen = whole_number(form.get("seen"))
        if meaning is None or seen is None:
            text = "Choose what the label means first."
            return await answers.label(request, session, name, text)
        category = str(form.get("category", "")) if meaning is Meaning.SAME else None
        return await answers.explained(
            request, session, _answer(session, context, name, meaning, category, seen)
        )

    @router.get("/questions/{held_id}")
    async def choice(request: Request, held_id: str, session: In) -> Response:
        return await answers.choice(request, session, held_id)

    @router.post("/questions/{held_id}")
    async def choose(request: Request, held_id: str, session: In, form: Form) -> Response:
        question_kind = next(
            (question for question in Question if question.value == form.get("asked")), None
        )
        number = whole_number(form.get("version"))
        if question_kind is None or number is None:
            text = "Mark a version first: press its number, or click it."
            return await answers.choice(request, session, held_id, text)
        choice = VersionChoice(
            held_id, question_kind, number - 1, session.by, session.token_id, context.clock.now()
        )
        return await answers.chosen(request, session, choice)

    return router


def _answer(  # noqa: PLR0917  # one argument per field of the answer
    session: Session,
    context: ReviewContext,
    label: str,
    meaning: Meaning,
    category: str | None,
    seen: int,
) -> LabelAnswer:
    return LabelAnswer(
        label=label,
        version=seen + 1,
        meaning=meaning,
        category=Category(category) if category else None,
        by=session.by,
        token_id=session.token_id,
        at=context.clock.now(),
    )


class _Answers:
    """What the routes share: rendering questions and recording answers."""

    def __init__(self, context: ReviewContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    async def listed(self, request: Request, session: Session) -> Response:
        values: dict[str, Any] = {
            "open_list": await question_list(self._context),
            "latest": await latest_answers(self._context),
            "done": await self._done(request),
        }
        return self._pages.html(request, "questions.html", session=session, **values)

    async def label(
        self, request: Request, session: Session, label: str, error: str = ""
    ) -> Response:
        open_list = await question_list(self._context)
        waiting = {open_label.label: open_label.corrections for open_label in open_list.labels}
        shown = await label_view(self._context, label, waiting.get(label, 0))
        if shown.answer is None and not shown.examples:
            raise HTTPException(HTTPStatus.NOT_FOUND, "No correction asks about this label.")
        step = step_of(open_list.addresses, label_address(label))
        return await self._shown(
            request, session, "label_question.html", error, shown=shown, step=step
        )

    async def explained(self, request: Request, session: Session, answer: LabelAnswer) -> Response:
        context = self._context
        if answer.meaning is Meaning.SAME:
            known = answer.category and await context.categories.known([answer.category])
            if not known:
                text = "Choose an existing category, or declare the label a new one."
                return await self.label(request, session, answer.label, text)
        open_list = await question_list(context)
        address = label_address(answer.label)
        before = (await context.held.answers([answer.label])).get(answer.label)
        if before is None and address not in open_list.addresses:
            raise HTTPException(HTTPStatus.NOT_FOUND, "No correction asks about this label.")
        if not await context.held.answer(answer):
            now = (await context.held.answers([answer.label]))[answer.label]
            if replace(answer, at=now.at) != now:  # otherwise the page sent the same answer again
                text = f"{now.by} has already answered this. Your answer was not saved; {_SEE}"
                return await self.label(request, session, answer.label, text)
        return self._to_next(request, open_list.addresses, address, {"label": answer.label})

    async def choice(
        self, request: Request, session: Session, held_id: str, error: str = ""
    ) -> Response:
        held = await self._held(held_id)
        open_list = await question_list(self._context)
        step = step_of(open_list.addresses, choice_address(held_id))
        shown = await choice_view(self._context, held)
        return await self._shown(
            request, session, "version_question.html", error, shown=shown, step=step
        )

    async def chosen(self, request: Request, session: Session, choice: VersionChoice) -> Response:
        held = await self._held(choice.held_id)
        if choice.chosen >= len(held.versions):
            text = f"There are only {len(held.versions)} versions. Your answer was not saved."
            return await self.choice(request, session, choice.held_id, text)
        addresses = (await question_list(self._context)).addresses
        if not await self._context.held.choose(choice):
            now = await self._held(choice.held_id)
            chosen = (now.chosen, now.by, now.token_id)
            if chosen != (
                choice.chosen,
                choice.by,
                choice.token_id,
            ):  # otherwise the page sent the same choice again
                return await self.choice(request, session, choice.held_id, _conflict_text(now))
        return self._to_next(
            request, addresses, choice_address(choice.held_id), {"held": choice.held_id}
        )

    async def _held(self, held_id: str) -> HeldCorrection:
        held = await self._context.held.find(held_id)
        if held is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such question.")
        return held

    async def _shown(
        self, request: Request, session: Session, template: str, error: str, **values: Any
    ) -> Response:
        if error and is_fragment(request):
            return refused_act(self._pages, request, session, error)
        return self._pages.html(
            request,
            template,
            session=session,
            status=HTTPStatus.CONFLICT if error else HTTPStatus.OK,
            error=error,
            done=None if error else await self._done(request),
            **values,
        )

    def _to_next(
        self, request: Request, addresses: list[str], address: str, done: dict[str, str]
    ) -> Response:
        """Lead to the next question, whose page confirms the answer."""
        step = step_of(addresses, address)
        following = step.following or step.previous or "/questions"
        root = request.scope.get("root_path", "").rstrip("/")
        joint = "&" if "?" in following else "?"
        target = f"{root}{following}{joint}{urlencode(done)}"
        if is_fragment(request):  # the page's script follows this header
            return taken_act({"Review-Next": target})
        return RedirectResponse(target, HTTPStatus.SEE_OTHER)

    async def _done(self, request: Request) -> LabelAnswer | HeldCorrection | None:
        """The answer that the address names, as stored, for the confirmation."""
        held_id, label = request.query_params.get("held"), request.query_params.get("label")
        if label:
            return (await self._context.held.answers([label])).get(label)
        return await self._context.held.find(held_id) if held_id else None


def _conflict_text(held: HeldCorrection) -> str:
    if held.outcome is HeldOutcome.SUPERSEDED:
        return "The annotator has sent a newer version. Your answer was not saved."
    if held.chosen is not None:
        return f"{held.by} has already answered this. Your answer was not saved; {_SEE}"
    return "The question has changed since you loaded it. Your answer was not saved; look again."
