"""`gazeloop compare`: what changed from one detector version to the next."""

from typing import Annotated

import typer

from services.cli.comparing import CompareOptions, New, Old
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups

app = typer.Typer()


@app.command(
    "compare",
    epilog=example(
        "compare ods@1 ods@2",
        "compare ods@1 ods@2 --json | jq .summary",
        "compare old.json new.json --ground-truth gt.json",
    ),
)
@with_option_groups
@done_by("services.cli.work.compare")
def compare(
    ctx: typer.Context,
    *,
    old: Old,
    new: New,
    compare_options: CompareOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the frames of every family.")
    ] = False,
) -> None:
    """Compare two detector versions on the same frames: what is fixed, better, worse, broken.

    Prints mAP of both with the interval of the paired difference, the families of failures that
    changed, categories and slices, and what re-annotation cost. Reads the stores of the stack that
    runs on the data folder; if none runs, starts them temporarily.
    """
