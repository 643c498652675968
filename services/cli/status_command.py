"""`gazeloop status`: running services, lag and dead letters."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command("status", epilog=example("--data /srv/gl status"))
@done_by("services.cli.work.status")
def status(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show services, lag per topic and dead letters. Starts nothing.

    Exits with 1 if nothing runs, for use in scripts.
    """
