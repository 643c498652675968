"""`gazeloop status`: running services, lag and dead letters."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.context import Context, console, run, shared

if TYPE_CHECKING:
    from services.app.status import Status


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
        import json  # noqa: PLC0415

        print(json.dumps(found.document(), indent=2))  # noqa: T201  # to be piped
    else:
        console().print(found.rendered())
    if not found.runs:
        raise typer.Exit(1)


async def _status(context: Context) -> "Status":
    from services.app.status import read_status  # noqa: PLC0415
    from services.cli.logs import log_to_file  # noqa: PLC0415  # slow

    settings = context.settings()
    if settings.data.is_dir():  # do not create a misspelt folder
        log_to_file(settings, "status")
    return await read_status(settings)
