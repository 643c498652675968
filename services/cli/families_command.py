"""`gazeloop families`: groups of similar failures, and labels that may be missing."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(
    "families",
    epilog=example("--data demo-data families", "--set family_likeness=0.6 families --most 50"),
)
@done_by("services.cli.work.families")
def families(
    ctx: typer.Context,
    *,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of rows per table.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all families.")] = False,
) -> None:
    """Print families of needles, labels to check again, and families that merged or split.

    A family is resolved when annotators have answered and several drives brought no new member; a
    new member reopens it. While `gazeloop up` runs on the data folder, it is asked for the vectors.
    """
