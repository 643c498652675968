"""Dead letters: what could not be processed, why, and once more."""

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import FormData

from services.annotation.review.desk import Letters, ReviewContext
from services.annotation.review.guard import Form, In
from services.annotation.review.rendering import Pages
from services.annotation.review.sessions import Session
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidSettings
from services.domain.dead_letters import TO_REPLAY, UNSETTLED, Letter, LetterState

_SHOWN = 200
_PREVIEW_BYTES = 2000
log = structlog.get_logger(__name__)


def letter_routes(desk: ReviewContext, pages: Pages) -> APIRouter:
    """The routes."""
    router = APIRouter()

    async def page(request: Request, session: Session, notice: str = "") -> Response:
        letters = list(await _letters(desk).read())
        service = request.query_params.get("service", "")
        reason = request.query_params.get("reason", "")
        state = request.query_params.get("state", "")
        waiting = [item for item in letters if item.state in UNSETTLED]
        counts = Counter(
            (failure.service, failure.reason) for item in waiting for failure in item.failures
        )
        chosen = _chosen(_in_state(letters, state), service, reason)
        chosen.sort(key=lambda letter: letter.latest.failed_at, reverse=True)
        return pages.html(
            request,
            "letters.html",
            session=session,
            said=notice,
            total=len(letters),
            waiting=len(waiting),
            states=Counter(item.state.value for item in letters),
            counts=counts.most_common(),
            replayable={
                (failure.service, failure.reason)
                for item in waiting
                if item.is_replayable and item.state in TO_REPLAY
                for failure in item.failures
            },
            chosen=len(chosen),
            letters=[(letter, _preview(letter.latest)) for letter in chosen[:_SHOWN]],
            service=service,
            reason=reason,
            state=state,
        )

    async def wanted(form: FormData, states: frozenset[LetterState]) -> list[Letter]:
        """The letters that a form means: one, or those of a service and reason in these states."""
        letters = await _letters(desk).read()
        only = str(form.get("letter", ""))
        if only:
            return [letter for letter in letters if letter.letter_id == only]
        found = [letter for letter in letters if letter.state in states]
        return _chosen(found, str(form.get("service", "")), str(form.get("reason", "")))

    @router.get("/dead-letters")
    async def letters(request: Request, session: In) -> Response:
        return await page(request, session)

    @router.post("/dead-letters/replay")
    async def replay(request: Request, session: In, form: Form) -> Response:
        found = await wanted(form, TO_REPLAY)
        try:
            sent = await _letters(desk).replay([letter.letter_id for letter in found])
        except InvalidSettings as exc:
            log.warning("replay_refused", error=str(exc))
            return await page(request, session, _refused([item.latest for item in found]))
        kept = len(found) - sent
        notice = f"{sent} sent again."
        if kept:
            notice += f" {kept} never were on a topic: correct their files and ingest them again."
        return await page(request, session, notice)

    @router.post("/dead-letters/discard")
    async def discard(request: Request, session: In, form: Form) -> Response:
        found = await wanted(form, UNSETTLED)
        count = await _letters(desk).discard([letter.letter_id for letter in found])
        return await page(request, session, f"{count} discarded.")

    return router


def _letters(desk: ReviewContext) -> Letters:
    if desk.letters is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Dead letters cannot be read here.")
    return desk.letters


def _refused(letters: Sequence[DeadLettered]) -> str:
    """What to do where the broker lets the page's user write corrections, and no more."""
    topics = sorted({letter.original_topic for letter in letters if letter.original_topic})
    return (
        f"Kafka does not let this page send to {', '.join(topics)}. Ask who runs it for"
        " `gazeloop dead-letters replay`, as the user gazeloop-operator."
    )


def _in_state(letters: Sequence[Letter], state: str) -> list[Letter]:
    """Those in this state; where none is named, those that wait for something."""
    if state:
        return [letter for letter in letters if letter.state.value == state]
    return [letter for letter in letters if letter.state in UNSETTLED]


def _chosen(letters: Sequence[Letter], service: str, reason: str) -> list[Letter]:
    return [letter for letter in letters if letter.failed(service or None, reason or None)]


def _preview(letter: DeadLettered) -> str:
    text = letter.original_value[:_PREVIEW_BYTES].decode(errors="replace")
    cut = len(letter.original_value) > _PREVIEW_BYTES
    return f"{text}\n… {len(letter.original_value):,} bytes in all" if cut else text
