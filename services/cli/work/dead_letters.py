"""What `gazeloop dead-letters` does."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import typer
from rich.table import Table

from services.app.bridge_source import replaying_outbox
from services.app.parts import App
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.dead_letter_reading import dead_letters_of
from services.cli.dead_letters_command import State
from services.cli.work.opened import opened
from services.domain.dead_letters import TO_REPLAY, UNSETTLED, Letter, LetterState
from services.runtime.clock import SystemClock
from services.runtime.kafka import dead_letters

T = TypeVar("T")


@dataclass(frozen=True)
class LetterFilter:
    """Selects dead letters by the service that failed, by its reason, and by state; None is any."""

    reason: str | None = None
    service: str | None = None
    state: State = State.UNSETTLED

    def of(self, letters: Iterable[Letter]) -> list[Letter]:
        """The dead letters among these, in their order."""
        groups = {
            State.UNSETTLED: UNSETTLED,
            State.UNANSWERED: TO_REPLAY,
            State.ALL: frozenset(LetterState),
        }
        states = groups.get(self.state) or {LetterState(self.state.value)}
        return [
            letter
            for letter in letters
            if letter.state in states and letter.failed(self.service, self.reason)
        ]


def list_letters(
    ctx: typer.Context,
    *,
    reason: str | None,
    service: str | None,
    state: State,
    limit: int,
    as_json: bool,
) -> None:
    """Run `gazeloop dead-letters list`."""
    context = shared(ctx)
    letters = run(lambda: _read(context), interrupted="The list is incomplete.")
    selected = LetterFilter(reason, service, state).of(letters)
    if as_json:
        for letter in selected:
            print(_json(letter))  # noqa: T201  # to be piped
        return
    _print(selected, limit, settled=len(letters) - len(LetterFilter().of(letters)))


def replay(ctx: typer.Context, *, reason: str | None, service: str | None, state: State) -> None:
    """Run `gazeloop dead-letters replay`."""
    context = shared(ctx)

    async def send(selected: list[Letter], app: App) -> tuple[int, int]:
        async with replaying_outbox(app.outbox, app.settings) as outbox:
            report = await dead_letters.replay(selected, outbox, SystemClock().now())
        return report.replayed, len(report.not_replayable)

    sent, kept = run(
        lambda: _with_letters(context, LetterFilter(reason, service, state), send),
        interrupted="Run it again to send the rest.",
    )
    out = console()
    if not sent and not kept:
        out.print(
            f"No dead letter that is {state.value} matches;"
            " `gazeloop dead-letters list --state all` shows all.",
            highlight=False,
        )
        return
    out.print(f"{sent:,} replayed", highlight=False)
    if kept:
        out.print(
            f"{kept:,} cannot be replayed: they were never on a topic, or are too large for it;"
            " correct the file that `gazeloop dead-letters list` names and run `gazeloop ingest`"
            " again",
            highlight=False,
        )


def discard(
    ctx: typer.Context, *, reason: str | None, service: str | None, state: State, all_: bool
) -> None:
    """Run `gazeloop dead-letters discard`."""
    if reason is None and service is None and not all_:
        raise typer.BadParameter("give --reason, --service or --all")
    context = shared(ctx)

    async def give_up(selected: list[Letter], app: App) -> int:
        return await dead_letters.discard(selected, app.outbox, SystemClock().now())

    count = run(
        lambda: _with_letters(context, LetterFilter(reason, service, state), give_up),
        interrupted="Run it again to discard the rest.",
    )
    console().print(f"{count:,} discarded", highlight=False)


async def _read(context: Context) -> list[Letter]:
    async with opened(context.stored(), "dead-letters") as app:
        return await dead_letters_of(app)


async def _with_letters(
    context: Context,
    wanted: LetterFilter,
    work: Callable[[list[Letter], App], Awaitable[T]],
) -> T:
    """Apply `work` to the selected dead letters."""
    async with opened(context.stored(), "dead-letters") as app:
        return await work(wanted.of(await dead_letters_of(app)), app)


def _json(letter: Letter) -> str:
    """The last failure and the dead letter's state, as one JSON line."""
    known = {
        "letter_id": letter.letter_id,
        "state": letter.state.value,
        "services": [failure.service for failure in letter.failures],
        "replays": letter.replays,
    }
    return json.dumps(json.loads(letter.latest.model_dump_json()) | known)


def _print(selected: list[Letter], limit: int, settled: int) -> None:
    out = console()
    if settled:
        out.print(f"{settled:,} resolved or discarded: `--state all` shows them", highlight=False)
    if not selected:
        out.print("no dead letters")
        return
    table = Table(box=None, header_style="dim")
    for title in ("service", "reason", "letters"):
        table.add_column(title, justify="right" if title == "letters" else "left")
    counts = Counter(
        (failure.service, failure.reason) for letter in selected for failure in letter.failures
    )
    for (service, reason), count in counts.most_common():
        table.add_row(service, reason, f"{count:,}")
    out.print(table)
    for letter in selected[:limit]:
        last = letter.latest
        place = last.location or f"{last.original_topic}[{last.partition}]@{last.offset}"
        state = letter.state.value.replace("_", " ")
        out.print(f"  {state}  {place}: {last.detail}", highlight=False)
    if len(selected) > limit:
        out.print(f"  … and {len(selected) - limit:,} more", highlight=False)
