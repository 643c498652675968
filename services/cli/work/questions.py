"""What `gazeloop questions` does."""

from collections.abc import Awaitable, Callable

import typer
from pydantic import TypeAdapter

from services.app.held_parts import answers_publisher
from services.app.parts import App
from services.cli.account import account
from services.cli.console import console, print_json
from services.cli.context import run, shared
from services.cli.work.opened import opened
from services.contracts.errors import InvalidSettings
from services.contracts.identity import Category
from services.domain.ports.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Meaning,
    VersionChoice,
)
from services.ground_truth.holding import HeldRelease
from services.runtime.clock import SystemClock

_KEPT = "Only the printed answers were saved."
_BY_TERMINAL = "terminal"


def list_questions(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop questions list`."""
    _run(ctx, _print_json if as_json else _print_waiting)


def label(ctx: typer.Context, name: str, *, same: str, new: bool, nothing: bool) -> None:
    """Run `gazeloop questions label`."""
    if bool(same) + new + nothing != 1:
        raise typer.BadParameter("give exactly one of --same CATEGORY, --new and --nothing")

    async def work(app: App) -> None:
        await answer_label(app, name, same, new=new)

    _run(ctx, work)


def choose(ctx: typer.Context, held: str, version: int) -> None:
    """Run `gazeloop questions choose`."""

    async def work(app: App) -> None:
        await choose_version(app, held, version)

    _run(ctx, work)


def _run(ctx: typer.Context, work: Callable[[App], Awaitable[None]]) -> None:
    context = shared(ctx)

    async def whole() -> None:
        async with opened(context.stored(), "questions") as app:
            await work(app)

    run(whole, interrupted=_KEPT)


async def _print_json(app: App) -> None:
    waiting = await app.stores.held.waiting()
    print_json(TypeAdapter(list[HeldCorrection]).dump_python(waiting, mode="json"))


async def _print_waiting(app: App) -> None:
    out = console()
    waiting = await app.stores.held.waiting()
    for correction in waiting:
        out.print(_text(correction), highlight=False, soft_wrap=True)
    if waiting:
        page = app.review("/questions")
        hint = f"Answer on {page}, or by `gazeloop questions label` and `choose`."
        out.print(hint, highlight=False, soft_wrap=True)
    else:
        out.print("no correction waits for an answer", highlight=False)


def _text(held: HeldCorrection) -> str:
    """One correction: its question, and the versions to choose from."""
    asks = held.question.value.replace("_", " ")
    unknown = ", ".join(held.unknown)
    lines = [f"{held.held_id[:12]}  {asks}  {held.frame_id}  {unknown}".rstrip()]
    for place, version in enumerate(held.versions, start=1):
        boxes = ", ".join(annotation.category for annotation in version.annotations) or "nothing"
        lines.append(f"  {place}  {version.annotated_by or 'annotator unknown'}: {boxes}")
    return "\n".join(lines)


async def answer_label(app: App, name: str, same: str, *, new: bool) -> None:
    """Save the answer about a label, and release the corrections that waited for it."""
    found = await app.stores.held.answers([name])
    answer = _answer_of(name, same, new=new, before=found.get(name))
    if answer.category and not await app.stores.categories.known([answer.category]):
        raise InvalidSettings(f"there is no category {same!r}; --new creates it")
    if not await app.stores.held.answer(answer):
        raise InvalidSettings(
            "somebody else has just answered this; check their answer, then continue"
        )
    await _print_released(app)


def _answer_of(name: str, same: str, *, new: bool, before: LabelAnswer | None) -> LabelAnswer:
    meaning = Meaning.SAME if same else Meaning.NEW if new else Meaning.NOTHING
    return LabelAnswer(
        label=name,
        version=before.version + 1 if before else 1,
        meaning=meaning,
        category=Category(same) if same else None,
        by=account(),
        token_id=_BY_TERMINAL,
        at=SystemClock().now(),
    )


async def choose_version(app: App, held: str, version: int) -> None:
    """Save the decision about a held correction, and release it."""
    waiting = [
        correction
        for correction in await app.stores.held.waiting()
        if correction.held_id.startswith(held)
    ]
    if len(waiting) != 1:
        raise InvalidSettings(
            f"{len(waiting)} waiting corrections begin with {held!r}; see `gazeloop questions list`"
        )
    (one,) = waiting
    if version > len(one.versions):
        raise InvalidSettings(f"it has {len(one.versions)} versions; 0 takes none of them")
    at = SystemClock().now()
    choice = VersionChoice(
        one.held_id, one.question, version - 1, by=account(), token_id=_BY_TERMINAL, at=at
    )
    if not await app.stores.held.choose(choice):
        raise InvalidSettings("somebody else has just decided this")
    await _print_released(app)


async def _print_released(app: App) -> None:
    """Release answered corrections. Ingest also does; both send the same events."""
    publisher = answers_publisher(app.stores, app.outbox, SystemClock())
    settled = await HeldRelease(app.stores.held, publisher).release()
    left = len(await app.stores.held.waiting())
    console().print(f"{settled:,} settled, {left:,} still wait", highlight=False)
