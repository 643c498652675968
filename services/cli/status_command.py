"""`gazeloop status`: running services, lag and dead letters."""

import json
from typing import Annotated

import typer

from services.app.status import Status, read_status
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.logs import log_to_file

app = typer.Typer()


@app.command("status", epilog=example("--data /srv/gl status"))
def status(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show services, lag per topic and dead letters. Starts nothing.

    Exits with 1 if nothing runs, for use in scripts.
    """
    context = shared(ctx)
    found = run(lambda: _status(context), interrupted="Status was not read.")
    if as_json:
        print(json.dumps(found.document(), indent=2))  # noqa: T201  # to be piped
    else:
        console().print(found.rendered())
    if not found.runs:
        raise typer.Exit(1)


async def _status(context: Context) -> Status:

    settings = context.settings()
    if settings.data.is_dir():  # do not create a misspelt folder
        log_to_file(settings, "status")
    return await read_status(settings)
