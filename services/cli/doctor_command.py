"""`gazeloop doctor`: check a deployment, and print a remedy for every problem."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command("doctor", epilog=example("doctor", "doctor --strict --json", "doctor --bounds"))
@done_by("services.cli.work.doctor")
def doctor(
    ctx: typer.Context,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    model: Annotated[
        bool,
        typer.Option(
            "--model/--no-model",
            help="Load the embedder's weights, to compare its model with the live one.",
        ),
    ] = True,
    bounds: Annotated[
        bool,
        typer.Option(
            "--bounds", help="List what grows, what bounds it, and the settings for that."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a deployment: connections, topic configuration, permissions, clocks, models.

    Each finding comes with its remedy. Exits with 1 if there is an error. With --bounds, nothing is
    checked.
    """
