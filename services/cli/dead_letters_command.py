"""`gazeloop dead-letters`: list, replay or discard records that could not be processed."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="CODE", help="Only dead letters with this reason.")
]
Service = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="Only dead letters of this service.")
]


class State(StrEnum):
    """Selects dead letters by their state."""

    UNSETTLED = "unsettled"
    UNANSWERED = "unanswered"
    OPEN = "open"
    REPLAYED = "replayed"
    FAILED_AGAIN = "failed_again"
    RESOLVED = "resolved"
    DISCARDED = "discarded"
    ALL = "all"


States = Annotated[
    State,
    typer.Option(
        "--state",
        help="Only those in this state; unanswered: open or failed again; unsettled: or replayed.",
    ),
]


@app.callback()
def dead_letters() -> None:
    """List records that could not be processed; replay them after a fix, or discard them."""


@app.command(
    "list",
    epilog=example("dead-letters list", "dead-letters list --reason missing_image --limit 100"),
)
@done_by("services.cli.work.dead_letters")
def list_letters(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    service: Service = None,
    state: States = State.UNSETTLED,
    limit: Annotated[
        int, typer.Option(min=0, help="Maximum number of dead letters to list one by one.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, all.")] = False,
) -> None:
    """List dead letters: counts by service and reason, then one by one with state and location.

    A record is one dead letter, no matter how many services failed on it, or how often.
    """


@app.command("replay", epilog=example("dead-letters replay --service embedder"))
@done_by("services.cli.work.dead_letters")
def replay(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    service: Service = None,
    state: States = State.UNANSWERED,
) -> None:
    """Publish the original records again, byte for byte, to their original topics.

    By default, replays those that are open or have failed again. A record that fails once more
    updates its dead letter, and does not count toward the limit that stops a service. Safe to
    repeat. Records that never were on a topic (from an import) cannot be replayed: correct the
    file and run `gazeloop ingest` again.
    """


@app.command("discard", epilog=example("dead-letters discard --reason unreadable_event"))
@done_by("services.cli.work.dead_letters")
def discard(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    service: Service = None,
    state: States = State.UNSETTLED,
    all_: Annotated[
        bool, typer.Option("--all", help="Discard all; required without --reason and --service.")
    ] = False,
) -> None:
    """Discard dead letters: they no longer count; `list --state discarded` still shows them.

    A record that fails once more reopens its dead letter.
    """
