"""`gazeloop retention`: what is kept for how long, and an archive of frames before they go."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def retention() -> None:
    """Show what is kept for how long, and archive frames before they are erased.

    The settings `retain_…` say how long; ingest deletes in the background.
    """


@app.command("show", epilog=example("retention show --json"))
@done_by("services.cli.work.retention")
def show(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how long each kind of data is kept, and how many frames are due."""


@app.command("archive", epilog=example("retention archive --to cold-2026-05"))
@done_by("services.cli.work.retention")
def archive(
    ctx: typer.Context,
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="DIR",
            help="A new folder that lasts; in a container, below a mounted one.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="The tables' format.")
    ] = "parquet",
) -> None:
    """Write the frames that are due, with their predictions, to tables.

    With `retain_until_archived`, ingest erases frames only after this. Images are not written:
    `image_uri` locates them until they are erased.
    """
