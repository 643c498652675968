"""What `gazeloop status` does."""

import json

import typer

from services.app.status import Status, read_status
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.cli.status_view import print_status


def status(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop status`."""
    context = shared(ctx)
    found = run(lambda: _status(context), interrupted="Status was not read.")
    if as_json:
        print(json.dumps(found.document(), indent=2))  # noqa: T201  # to be piped
    else:
        print_status(console(), found)
    if not found.runs:
        raise typer.Exit(1)


async def _status(context: Context) -> Status:
    settings = context.settings()
    if settings.data.is_dir():  # do not create a misspelt folder
        log_to_file(settings, "status")
    return await read_status(settings)
