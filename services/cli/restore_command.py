"""`gazeloop restore`: restore a backup."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command("restore", epilog=example("--data /srv/gl restore /mnt/backups"))
@done_by("services.cli.work.restore")
def restore(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="FROM", help="Folder or bucket of the backups.", show_default=False),
    ],
    *,
    name: Annotated[
        str, typer.Option("--backup", metavar="NAME", help="Which one. Default: the newest.")
    ] = "",
) -> None:
    """Restore a backup to an empty data folder, or to the empty stores that the settings name.

    No service may run. Frames that were erased after the backup are erased again. If the
    broker is the same, services continue from the backup's offsets; with another broker, records
    that were not processed are lost: docs/backup.md.
    """
