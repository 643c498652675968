"""`gazeloop erase`: delete all that is known of frames, and keep them out."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(
    "erase",
    epilog=example(
        "erase --drive vehicle-7/2026-05-04 --dry-run",
        'erase --frame vehicle-7/000123 --reason "request 17"',
    ),
)
@done_by("services.cli.work.erase")
def erase(
    ctx: typer.Context,
    *,
    frame: Annotated[
        list[str] | None,
        typer.Option("--frame", metavar="ID", help="A frame; may be repeated.", show_default=False),
    ] = None,
    drive: Annotated[
        str | None,
        typer.Option("--drive", metavar="ID", help="All frames of a drive.", show_default=False),
    ] = None,
    vehicle: Annotated[
        str | None,
        typer.Option(
            "--vehicle", metavar="ID", help="All frames of a vehicle.", show_default=False
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Kept with the erasure; name no person.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be deleted, and delete nothing.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=0, help="Longest wait for running services, in s.")
    ] = 60.0,
) -> None:
    """Delete all that is known of a frame, a drive or a vehicle, and keep it out.

    Images that no other frame shows, vectors, predictions, ground truth, matches, needles, entries
    of shortlists, tasks, decisions, dead letters and ledger entries are deleted; metrics and models
    forget the frames. Only a hash of each frame's id stays, so that late and repeated events of the
    frame are dropped. After an interruption, the next `gazeloop erase` finishes what was begun.

    Kafka keeps its own copies until they expire: docs/privacy.md.
    """
