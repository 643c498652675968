"""The page of dead letters: list, replay, discard."""

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import FormData

from services.annotation.review.context import DeadLetters, ReviewContext
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import Form, In
from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import Session
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidSettings
from services.domain.dead_letters import TO_REPLAY, UNSETTLED, Letter, LetterState

_SHOWN = 200
_PREVIEW_BYTES = 2000
_COLUMNS = (
    *("letter_id", "state", "replays", "failed_at", "service", "reason", "detail"),
    *("topic", "partition", "offset", "location"),
)
log = structlog.get_logger(__name__)


def dead_letter_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of the dead letters."""
    router = APIRouter()

    async def page(request: Request, session: Session, notice: str = "") -> Response:
        dead_letters = list(await _dead_letters(context).read())
        service = request.query_params.get("service", "")
        reason = request.query_params.get("reason", "")
        state = request.query_params.get("state", "")
        waiting = [item for item in dead_letters if item.state in UNSETTLED]
        counts = Counter(
            (failure.service, failure.reason) for item in waiting for failure in item.failures
        )
        chosen = _chosen(_in_state(dead_letters, state), service, reason)
        chosen.sort(key=lambda letter: letter.latest.failed_at, reverse=True)
        return pages.html(
            request,
            "dead_letters.html",
            session=session,
            message=notice,
            total=len(dead_letters),
            waiting=len(waiting),
            states=Counter(item.state.value for item in dead_letters),
            counts=counts.most_common(),
            replayable={
                (failure.service, failure.reason)
                for item in waiting
                if item.is_replayable and item.state in TO_REPLAY
                for failure in item.failures
            },
            chosen=len(chosen),
            dead_letters=[(letter, _preview(letter.latest)) for letter in chosen[:_SHOWN]],
            service=service,
            reason=reason,
            state=state,
        )

    async def wanted(form: FormData, states: frozenset[LetterState]) -> list[Letter]:
        """The dead letters that a form names: one, or those of a service and a reason."""
        dead_letters = await _dead_letters(context).read()
        only = str(form.get("letter", ""))
        if only:
            return [letter for letter in dead_letters if letter.letter_id == only]
        found = [letter for letter in dead_letters if letter.state in states]
        return _chosen(found, str(form.get("service", "")), str(form.get("reason", "")))

    @router.get("/dead-letters")
    async def dead_letters(request: Request, session: In) -> Response:
        return await page(request, session)

    @router.get("/dead-letters.csv")
    async def dead_letters_csv(request: Request, _: In) -> Response:
        params = request.query_params
        found = _in_state(await _dead_letters(context).read(), params.get("state", ""))
        chosen = _chosen(found, params.get("service", ""), params.get("reason", ""))
        return csv_table("dead-letters", _COLUMNS, (_cells(letter) for letter in chosen))

    @router.post("/dead-letters/replay")
    async def replay(request: Request, session: In, form: Form) -> Response:
        found = await wanted(form, TO_REPLAY)
        try:
            sent = await _dead_letters(context).replay([letter.letter_id for letter in found])
        except InvalidSettings as exc:
            log.warning("replay_refused", error=str(exc))
            return await page(request, session, _refused([item.latest for item in found]))
        not_sent = len(found) - sent
        notice = f"{sent} replayed."
        if not_sent:
            notice += (
                f" {not_sent} were never on a topic: correct their files and ingest them again."
            )
        return await page(request, session, notice)

    @router.post("/dead-letters/discard")
    async def discard(request: Request, session: In, form: Form) -> Response:
        found = await wanted(form, UNSETTLED)
        count = await _dead_letters(context).discard([letter.letter_id for letter in found])
        return await page(request, session, f"{count} discarded.")

    return router


def _dead_letters(context: ReviewContext) -> DeadLetters:
    if context.dead_letters is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Dead letters cannot be read here.")
    return context.dead_letters


def _refused(failures: Sequence[DeadLettered]) -> str:
    """What to do if the broker lets the page's user write only corrections."""
    topics = sorted({letter.original_topic for letter in failures if letter.original_topic})
    return (
        f"Kafka does not let this page send to {', '.join(topics)}. Ask an operator to run"
        " `gazeloop dead-letters replay` as the user gazeloop-operator."
    )


def _in_state(dead_letters: Sequence[Letter], state: str) -> list[Letter]:
    """The dead letters in this state; without a state, the unsettled ones."""
    if state:
        return [letter for letter in dead_letters if letter.state.value == state]
    return [letter for letter in dead_letters if letter.state in UNSETTLED]


def _chosen(dead_letters: Sequence[Letter], service: str, reason: str) -> list[Letter]:
    return [letter for letter in dead_letters if letter.failed(service or None, reason or None)]


def _cells(letter: Letter) -> tuple[object, ...]:
    failure = letter.latest
    return (
        *(letter.letter_id, letter.state.value, letter.replays, failure.failed_at.isoformat()),
        *(failure.service, failure.reason, failure.detail, failure.original_topic),
        *(failure.partition, failure.offset, failure.location),
    )


def _preview(letter: DeadLettered) -> str:
    text = letter.original_value[:_PREVIEW_BYTES].decode(errors="replace")
    cut = len(letter.original_value) > _PREVIEW_BYTES
    return f"{text}\n… {len(letter.original_value):,} bytes in all" if cut else text
