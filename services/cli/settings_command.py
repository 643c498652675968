"""`gazeloop settings`: list every setting with its value, default and meaning."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(
    "settings",
    epilog=example(
        "settings",
        "settings kafka",
        "settings retention",
        "--set operating_score=0.4 settings --json",
    ),
)
@done_by("services.cli.work.settings")
def settings(
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="Only settings with this text in their name, meaning or group.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown", help="Print the tables of docs/settings.md, without this call's values."
        ),
    ] = False,
) -> None:
    """Print every setting with its value, default and meaning, by group.

    Precedence: `--set NAME=VALUE`, the environment variable `GAZELOOP_NAME`, a file of that name
    in the directory `GAZELOOP_SECRETS_DIR`, the default. Units are in the names and meanings
    (`_s` is seconds).
    """
