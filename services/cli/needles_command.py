"""`gazeloop needles`: list needles, with or without a shortlist."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.needle_options import NeedleOptions
from services.cli.option_groups import with_option_groups

app = typer.Typer(no_args_is_help=True)


@app.callback()
def needles() -> None:
    """List the detector's failures on reference frames."""


@app.command(
    "list", epilog=example("needles list --category 'stop sign' --json | jq '.[].frame_id'")
)
@with_option_groups
@done_by("services.cli.work.needles")
def list_needles(
    ctx: typer.Context,
    *,
    needles: NeedleOptions,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of needles to print.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all needles.")] = False,
) -> None:
    """List needles, highest score first; the filters are those of the review page."""
