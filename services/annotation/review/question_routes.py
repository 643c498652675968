"""Pages of questions from held corrections: unknown labels, and versions to choose from."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response

from services.annotation.review.context import Context
from services.annotation.review.csv_files import csv_file
from services.annotation.review.guard import Form, LoggedIn, whole_number
from services.annotation.review.page import Page
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
from services.contracts.identity import Category
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)

router = APIRouter()

_MAX_LABEL_LENGTH = 1000
_SEE = "see their answer."
_NOT_ASKED = "No correction asks about this label."


@router.get("/questions")
async def questions(request: Request, page: Page, context: Context) -> Response:
    """The open questions, and the latest answers."""
    return page.html(
        "questions.html",
        open_list=await question_list(context),
        latest=await latest_answers(context),
        done=await _done(context, request.query_params),
    )


@router.get("/questions.csv")
async def questions_csv(_: LoggedIn, context: Context) -> Response:
    """The open questions."""
    return csv_file("questions", QUESTION_COLUMNS, question_rows(context))


@router.get("/questions/label")
async def label_question(page: Page, context: Context, name: str = "") -> Response:
    """The question of what an unknown label means."""
    return await _label_page(page, context, name[:_MAX_LABEL_LENGTH])


@router.post("/questions/label")
async def answer_label(page: Page, form: Form, context: Context) -> Response:
    """Answer what a label means, and lead to the next question."""
    label = str(form.get("label", ""))[:_MAX_LABEL_LENGTH]
    meaning = next((item for item in Meaning if item.value == form.get("meaning")), None)
    seen = whole_number(form.get("seen"))
    if meaning is None or seen is None:
        return await _label_page(page, context, label, "Choose what the label means first.")
    category = str(form.get("category", "")) if meaning is Meaning.SAME else ""
    answer = LabelAnswer(
        label=label,
        version=seen + 1,
        meaning=meaning,
        category=Category(category) if category else None,
        by=page.session.by,
        token_id=page.session.token_id,
        at=context.clock.now(),
    )
    addresses = (await question_list(context)).addresses
    refusal = await _record_answer(context, answer, addresses)
    if refusal:
        return await _label_page(page, context, label, refusal)
    return _next_question(page, addresses, label_address(label), label=label)


@router.get("/questions/{held_id}")
async def version_question(page: Page, context: Context, held_id: str) -> Response:
    """The question of which version of a correction holds."""
    return await _version_page(page, context, held_id)


@router.post("/questions/{held_id}")
async def choose_version(page: Page, form: Form, context: Context, held_id: str) -> Response:
    """Choose a version, and lead to the next question."""
    question = next((item for item in Question if item.value == form.get("asked")), None)
    number = whole_number(form.get("version"))
    if question is None or number is None:
        text = "Mark a version first: press its number, or click it."
        return await _version_page(page, context, held_id, text)
    by, token_id = page.session.by, page.session.token_id
    choice = VersionChoice(held_id, question, number - 1, by, token_id, context.clock.now())
    addresses = (await question_list(context)).addresses
    refusal = await _record_choice(context, choice)
    if refusal:
        return await _version_page(page, context, held_id, refusal)
    return _next_question(page, addresses, choice_address(held_id), held=held_id)


async def _record_answer(context: Context, answer: LabelAnswer, addresses: list[str]) -> str:
    """Store an answer about a label; returns why it is refused, or nothing.

    Parameters
    ----------
    addresses : of the open questions
    """
    held, label = context.stores.held, answer.label
    if answer.meaning is Meaning.SAME:
        known = answer.category and await context.stores.categories.known([answer.category])
        if not known:
            return "Choose an existing category, or declare the label a new one."
    if label_address(label) not in addresses and label not in await held.answers([label]):
        raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_ASKED)
    if await held.answer(answer):
        return ""
    now = (await held.answers([label]))[label]
    if replace(answer, at=now.at) == now:  # the page has sent the same answer again
        return ""
    return f"{now.by} has already answered this. Your answer was not saved; {_SEE}"


async def _record_choice(context: Context, choice: VersionChoice) -> str:
    """Store the choice of a version; returns why it is refused, or nothing."""
    held = await _held(context, choice.held_id)
    if choice.chosen >= len(held.versions):
        return f"There are only {len(held.versions)} versions. Your answer was not saved."
    if await context.stores.held.choose(choice):
        return ""
    now = await _held(context, choice.held_id)
    if (now.chosen, now.by, now.token_id) == (choice.chosen, choice.by, choice.token_id):
        return ""  # the page has sent the same choice again
    return _conflict_text(now)


async def _held(context: Context, held_id: str) -> HeldCorrection:
    held = await context.stores.held.find(held_id)
    if held is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such question.")
    return held


def _conflict_text(held: HeldCorrection) -> str:
    if held.outcome is HeldOutcome.SUPERSEDED:
        return "A newer correction of the frame has arrived. Your answer was not saved."
    if held.chosen is not None:
        return f"{held.by} has already answered this. Your answer was not saved; {_SEE}"
    return "The question has changed since you loaded it. Your answer was not saved; look again."


async def _label_page(page: Page, context: Context, label: str, error: str = "") -> Response:
    open_list = await question_list(context)
    waiting = {open_label.label: open_label.corrections for open_label in open_list.labels}
    shown = await label_view(context, label, waiting.get(label, 0))
    if shown.answer is None and not shown.examples:
        raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_ASKED)
    step = step_of(open_list.addresses, label_address(label))
    return await _question(page, context, "label_question.html", error, shown=shown, step=step)


async def _version_page(page: Page, context: Context, held_id: str, error: str = "") -> Response:
    held = await _held(context, held_id)
    open_list = await question_list(context)
    step = step_of(open_list.addresses, choice_address(held_id))
    shown = await choice_view(context, held)
    return await _question(page, context, "version_question.html", error, shown=shown, step=step)


async def _question(
    page: Page, context: Context, template: str, error: str, **values: Any
) -> Response:
    """The page of a question, or why the answer to it is refused."""
    if error and page.is_fragment:
        return refused_act(page, error)
    return page.html(
        template,
        status=HTTPStatus.CONFLICT if error else HTTPStatus.OK,
        error=error,
        done=None if error else await _done(context, page.request.query_params),
        **values,
    )


async def _done(context: Context, params: Mapping[str, str]) -> LabelAnswer | HeldCorrection | None:
    """The answer that the address names, as stored, for the confirmation."""
    held_id, label = params.get("held"), params.get("label")
    if label:
        return (await context.stores.held.answers([label])).get(label)
    return await context.stores.held.find(held_id) if held_id else None


def _next_question(page: Page, addresses: list[str], address: str, **done: str) -> Response:
    """Lead to the next question, whose page confirms the answer."""
    step = step_of(addresses, address)
    following = step.following or step.previous or "/questions"
    joint = "&" if "?" in following else "?"
    path = f"{following}{joint}{urlencode(done)}"
    if page.is_fragment:  # the page's script follows this header
        return taken_act({"Review-Next": page.address(path)})
    return page.redirect(path)
