"""`gazeloop report`: print the report from the stores, as the demo does at its end."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command("report", epilog=example("report", "--data demo-data report --json | jq .needles"))
@done_by("services.cli.work.report")
def report(
    ctx: typer.Context,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: an object, or a list for several detectors.")
    ] = False,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAME@VERSION", help="Only this detector's report."),
    ] = None,
) -> None:
    """Print frames, needles, the cost of errors, mAP of R, H, S and H-S, and shortlist yield.

    Reads the stores of the stack that runs on the data folder; if none runs, starts them
    temporarily.
    """
