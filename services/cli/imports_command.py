"""`gazeloop imports`: the runs that published predictions, ground truth and frames."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def imports() -> None:
    """List imports, campaigns' corrections and bridges; `gazeloop undo` takes them back."""


@app.command("list", epilog=example("imports list", "imports list --json"))
@done_by("services.cli.work.imports")
def list_imports(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every run with its id and the number of parts that it published, newest first."""
