"""`gazeloop gate`: fail a pipeline if a new detector version is worse."""

from typing import Annotated

import typer

from services.cli.comparing import CompareOptions, New, Old
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups

app = typer.Typer()


@app.command(
    "gate",
    epilog=example(
        "gate ods@1 ods@2 --no-worse-than .01",
        "gate old.json new.json --ground-truth gt.json --no-worse-than .01 --most-broken 0",
    ),
)
@with_option_groups
@done_by("services.cli.work.gate")
def gate(
    ctx: typer.Context,
    *,
    old: Old,
    new: New,
    compare_options: CompareOptions,
    no_worse_than: Annotated[
        float,
        typer.Option(
            "--no-worse-than",
            min=0,
            max=1,
            help="Pass only if the 95% interval of the mAP difference excludes a greater loss.",
        ),
    ],
    most_broken: Annotated[
        int | None,
        typer.Option(
            "--most-broken",
            min=0,
            help="Pass only if no more families are worse or broken. Default: no limit.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the comparison's families and frames.")
    ] = False,
) -> None:
    """End with 0 if a new detector version is good enough, else with 1: for pipelines.

    Prints what it fixes and breaks, with the frames.
    """
