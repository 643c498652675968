"""Dead letters: what could not be processed, why, and once more."""

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from fastapi import APIRouter, HTTPException, Request, Response

from services.contracts.errors import InvalidSettings
from services.contracts.events import DeadLettered
from services.contracts.identity import EventId
from services.retriever.review.desk import Desk, Letters
from services.retriever.review.guard import Form, In
from services.retriever.review.rendering import Pages
from services.retriever.review.sessions import Session

_SHOWN = 200
_PREVIEW_BYTES = 2000
log = structlog.get_logger(__name__)


def letter_routes(desk: Desk, pages: Pages) -> APIRouter:
    """The routes."""
    router = APIRouter()

    async def page(request: Request, session: Session, said: str = "") -> Response:
        letters = list(await _letters(desk).read())
        service = request.query_params.get("service", "")
        reason = request.query_params.get("reason", "")
        counts = Counter((letter.service, letter.reason) for letter in letters)
        chosen = _chosen(letters, service, reason)
        chosen.sort(key=lambda letter: letter.failed_at, reverse=True)
        return pages.html(
            request,
            "letters.html",
            session=session,
            said=said,
            total=len(letters),
            counts=counts.most_common(),
            replayable={(each.service, each.reason) for each in letters if each.original_topic},
            chosen=len(chosen),
            letters=[(letter, _preview(letter)) for letter in chosen[:_SHOWN]],
            service=service,
            reason=reason,
        )

    @router.get("/dead-letters")
    async def letters(request: Request, session: In) -> Response:
        return await page(request, session)

    @router.post("/dead-letters/replay")
    async def replay(request: Request, session: In, form: Form) -> Response:
        only = str(form.get("letter", ""))
        found = _chosen(
            await _letters(desk).read(), str(form.get("service", "")), str(form.get("reason", ""))
        )
        ids = [EventId(letter.event_id) for letter in found if only in ("", letter.event_id)]
        try:
            sent = await _letters(desk).replay(ids)
        except InvalidSettings as exc:
            log.warning("replay_refused", error=str(exc))
            return await page(request, session, _refused(found))
        kept = len(ids) - sent
        said = f"{sent} sent again."
        if kept:
            said += f" {kept} never were on a topic: correct their files and ingest them again."
        return await page(request, session, said)

    return router


def _letters(desk: Desk) -> Letters:
    if desk.letters is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Dead letters cannot be read here.")
    return desk.letters


def _refused(letters: Sequence[DeadLettered]) -> str:
    """What to do where the broker lets the page's user write corrections, and no more."""
    topics = sorted({each.original_topic for each in letters if each.original_topic})
    return (
        f"Kafka does not let this page send to {', '.join(topics)}. Ask who runs it for"
        " `gazeloop dead-letters replay`, as the user gazeloop-operator."
    )


def _chosen(letters: Sequence[DeadLettered], service: str, reason: str) -> list[DeadLettered]:
    return [
        letter
        for letter in letters
        if service in ("", letter.service) and reason in ("", letter.reason)
    ]


def _preview(letter: DeadLettered) -> str:
    text = letter.original_value[:_PREVIEW_BYTES].decode(errors="replace")
    cut = len(letter.original_value) > _PREVIEW_BYTES
    return f"{text}\n… {len(letter.original_value):,} bytes in all" if cut else text
