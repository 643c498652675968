"""`gazeloop migrate`: bring the stores of an older version into the form of this one."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(epilog=example("--data /srv/gl migrate --dry-run"))
@done_by("services.cli.work.migrate")
def migrate(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be migrated; change nothing.")
    ] = False,
    drop_old: Annotated[
        bool,
        typer.Option(
            "--drop-old",
            help="Drop old documents and indexes; refused while some cannot be read.",
        ),
    ] = False,
) -> None:
    """Migrate the stores to the version that this Gazeloop uses.

    It migrates the data folder, or the MongoDB that `GAZELOOP_MONGODB` names. Stop all services
    first. If it is interrupted, run it again, and it continues. The old documents stay until you
    drop them, and take up to twice the space. A later run migrates those that were corrected since.
    """
