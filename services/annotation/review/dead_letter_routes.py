"""The page of dead letters: list, replay, discard."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Response
from starlette.datastructures import FormData

from services.annotation.review.context import Context, DeadLetters
from services.annotation.review.csv_files import csv_table
from services.annotation.review.guard import Form, LoggedIn
from services.annotation.review.page import Page
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidSettings
from services.domain.dead_letters import TO_REPLAY, UNSETTLED, Letter, LetterState

router = APIRouter()

_SHOWN = 200
_PREVIEW_BYTES = 2000
_COLUMNS = (
    *("letter_id", "state", "replays", "failed_at", "service", "reason", "detail"),
    *("topic", "partition", "offset", "location"),
)
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Choice:
    """Which dead letters the address lists; empty texts mean any."""

    service: str = ""
    reason: str = ""
    state: str = ""

    def of(self, dead_letters: Sequence[Letter]) -> list[Letter]:
        """Those of these dead letters; without a state, only unsettled ones."""
        in_state = [
            letter
            for letter in dead_letters
            if (letter.state.value == self.state if self.state else letter.state in UNSETTLED)
        ]
        return _failed(in_state, self.service, self.reason)


async def choice_of(service: str = "", reason: str = "", state: str = "") -> Choice:
    """The address's choice."""
    return Choice(service, reason, state)


Chosen = Annotated[Choice, Depends(choice_of)]


async def actions_of(context: Context) -> DeadLetters:
    """Access to the dead letters.

    Raises
    ------
    HTTPException
        404: there is no broker to read them from.
    """
    if context.dead_letters is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Dead letters cannot be read here.")
    return context.dead_letters


Actions = Annotated[DeadLetters, Depends(actions_of)]


@router.get("/dead-letters")
async def listed(page: Page, actions: Actions, choice: Chosen) -> Response:
    """The chosen dead letters, and counts of all."""
    return await _listed(page, actions, choice)


@router.get("/dead-letters.csv")
async def dead_letters_csv(_: LoggedIn, actions: Actions, choice: Chosen) -> Response:
    """The chosen dead letters."""
    rows = map(_cells, choice.of(await actions.read()))
    return csv_table("dead-letters", _COLUMNS, rows)


@router.post("/dead-letters/replay")
async def replay(page: Page, form: Form, actions: Actions, choice: Chosen) -> Response:
    """Publish the original records of the dead letters that the form names."""
    found = await _named(actions, form, TO_REPLAY)
    try:
        sent = await actions.replay([letter.letter_id for letter in found])
    except InvalidSettings as exc:
        log.warning("replay_refused", error=str(exc))
        notice = _refused([letter.latest for letter in found])
        return await _listed(page, actions, choice, notice)
    notice = f"{sent} replayed."
    if not_sent := len(found) - sent:
        notice += (
            f" {not_sent} were never on a topic, or are too large for it: correct their files and"
            " ingest them again."
        )
    return await _listed(page, actions, choice, notice)


@router.post("/dead-letters/discard")
async def discard(page: Page, form: Form, actions: Actions, choice: Chosen) -> Response:
    """Mark the dead letters that the form names as discarded."""
    found = await _named(actions, form, UNSETTLED)
    count = await actions.discard([letter.letter_id for letter in found])
    return await _listed(page, actions, choice, f"{count} discarded.")


async def _listed(page: Page, actions: DeadLetters, choice: Choice, notice: str = "") -> Response:
    dead_letters = await actions.read()
    waiting = [letter for letter in dead_letters if letter.state in UNSETTLED]
    chosen = choice.of(dead_letters)
    chosen.sort(key=lambda letter: letter.latest.failed_at, reverse=True)
    return page.html(
        "dead_letters.html",
        message=notice,
        total=len(dead_letters),
        waiting=len(waiting),
        states=Counter(letter.state.value for letter in dead_letters),
        counts=Counter(_causes(waiting)).most_common(),
        replayable={*_causes(letter for letter in waiting if _can_be_replayed(letter))},
        chosen=len(chosen),
        dead_letters=[(letter, _preview(letter.latest)) for letter in chosen[:_SHOWN]],
        service=choice.service,
        reason=choice.reason,
        state=choice.state,
    )


def _causes(letters: Iterable[Letter]) -> Iterator[tuple[str, str]]:
    """Service and reason of every failure."""
    for letter in letters:
        for failure in letter.failures:
            yield failure.service, failure.reason


def _can_be_replayed(letter: Letter) -> bool:
    return letter.is_replayable and letter.state in TO_REPLAY


async def _named(
    actions: DeadLetters, form: FormData, states: frozenset[LetterState]
) -> list[Letter]:
    """The dead letters that a form names: one, or those of a service and a reason."""
    dead_letters = await actions.read()
    only = str(form.get("letter", ""))
    if only:
        return [letter for letter in dead_letters if letter.letter_id == only]
    found = [letter for letter in dead_letters if letter.state in states]
    return _failed(found, str(form.get("service", "")), str(form.get("reason", "")))


def _failed(dead_letters: Sequence[Letter], service: str, reason: str) -> list[Letter]:
    """Those with a failure in this service and for this reason; empty texts mean any."""
    return [letter for letter in dead_letters if letter.failed(service or None, reason or None)]


def _refused(failures: Sequence[DeadLettered]) -> str:
    """What to do if the broker lets the page's user write only corrections."""
    topics = sorted({letter.original_topic for letter in failures if letter.original_topic})
    return (
        f"Kafka does not let this page send to {', '.join(topics)}. Ask an operator to run"
        " `gazeloop dead-letters replay` as the user gazeloop-operator."
    )


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
