"""`gazeloop dead-letters`: what could not be processed, and once more."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.context import Context, console, example, run, shared

if TYPE_CHECKING:
    from services.contracts.events import DeadLettered

app = typer.Typer(no_args_is_help=True)

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="CODE", help="Only those of this reason.")
]
Service = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="Only those of this service.")
]


@app.callback()
def dead_letters() -> None:
    """Show what could not be processed, and send it once more when the cause is gone."""


@app.command(
    "list",
    epilog=example("dead-letters list", "dead-letters list --reason missing_image --limit 100"),
)
def list_letters(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    service: Service = None,
    limit: Annotated[int, typer.Option(min=0, help="Most letters to list one by one.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, all.")] = False,
) -> None:
    """List dead letters: counted by service and reason, then one by one with their place."""
    context = shared(ctx)
    letters = run(lambda: _read(context), interrupted="Not all were read.")
    letters = _matching(letters, reason, service)
    if as_json:
        for letter in letters:
            print(letter.model_dump_json())  # noqa: T201  # to be piped
        return
    _print(letters, limit)


@app.command("replay", epilog=example("dead-letters replay --service embedder"))
def replay(ctx: typer.Context, *, reason: Reason = None, service: Service = None) -> None:
    """Publish the original records again, byte for byte, where they came from.

    Safe to repeat. Records that never were on a topic (those of an import) cannot be replayed:
    correct the file and run `gazeloop ingest` again.
    """
    context = shared(ctx)
    sent, kept = run(
        lambda: _replay(context, reason, service), interrupted="Run it again to send the rest."
    )
    out = console()
    if not sent and not kept:
        out.print(
            "No dead letter matches; `gazeloop dead-letters list` shows all.", highlight=False
        )
        return
    out.print(f"{sent:,} replayed", highlight=False)
    if kept:
        out.print(
            f"{kept:,} were never on a topic: correct the file that `gazeloop dead-letters list`"
            " names and run `gazeloop ingest` again",
            highlight=False,
        )


async def _read(context: Context) -> "list[DeadLettered]":
    from services.cli.dead_letter_reading import dead_letters_of  # noqa: PLC0415
    from services.cli.logs import log_to_file  # noqa: PLC0415
    from services.cli.parts import joined  # noqa: PLC0415  # slow

    settings = context.stored()
    log_to_file(settings, "dead-letters")
    async with joined(settings) as stack:
        return await dead_letters_of(stack)


async def _replay(context: Context, reason: str | None, service: str | None) -> tuple[int, int]:
    from services.cli.dead_letter_reading import dead_letters_of  # noqa: PLC0415
    from services.cli.logs import log_to_file  # noqa: PLC0415
    from services.cli.parts import joined  # noqa: PLC0415  # slow
    from services.runtime import dead_letters  # noqa: PLC0415

    settings = context.stored()
    log_to_file(settings, "dead-letters")
    async with joined(settings) as stack:
        letters = _matching(await dead_letters_of(stack), reason, service)
        said = await dead_letters.replay(letters, stack.outbox)
    return said.replayed, len(said.not_replayable)


def _matching(
    letters: "Iterable[DeadLettered]", reason: str | None, service: str | None
) -> "list[DeadLettered]":
    return [
        letter
        for letter in letters
        if reason in (None, letter.reason) and service in (None, letter.service)
    ]


def _print(letters: "list[DeadLettered]", limit: int) -> None:
    from rich.table import Table  # noqa: PLC0415  # slow

    out = console()
    if not letters:
        out.print("no dead letters")
        return
    table = Table(box=None, header_style="dim")
    for title in ("service", "reason", "letters"):
        table.add_column(title, justify="right" if title == "letters" else "left")
    counts = Counter((letter.service, letter.reason) for letter in letters)
    for (service, reason), count in counts.most_common():
        table.add_row(service, reason, f"{count:,}")
    out.print(table)
    for letter in letters[:limit]:
        place = letter.location or f"{letter.original_topic}[{letter.partition}]@{letter.offset}"
        out.print(f"  {place}: {letter.detail}", markup=False, highlight=False)
    if len(letters) > limit:
        out.print(f"  … and {len(letters) - limit:,} more", highlight=False)
