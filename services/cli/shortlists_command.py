"""`gazeloop shortlists`: list shortlists, show spent budgets, and frames beyond them."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.needle_options import NeedleOptions
from services.cli.option_groups import with_option_groups
from services.cli.tag_options import TagOptions

app = typer.Typer(no_args_is_help=True)


@app.callback()
def shortlists() -> None:
    """List shortlists with their verdicts, and show how budgets are spent."""


@app.command(
    "list",
    epilog=example("shortlists list --stage todo", "shortlists list --json --tag daylight=night"),
)
@with_option_groups
@done_by("services.cli.work.shortlists")
def list_shortlists(
    ctx: typer.Context,
    *,
    needles: NeedleOptions,
    frames: TagOptions,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of shortlists to print.")
    ] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: all shortlists with frames and verdicts.")
    ] = False,
) -> None:
    """List the needles that have a shortlist, highest score first.

    `--tag` selects frames on shortlists, and needs `--json`, which names them.
    """


@app.command("held-back", epilog=example("shortlists held-back --most 50"))
@done_by("services.cli.work.shortlists")
def held_back(
    ctx: typer.Context,
    *,
    most: Annotated[
        int, typer.Option("--most", min=0, help="Maximum number of frames per detector.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all frames.")] = False,
) -> None:
    """Print how much of each budget is spent, and the frames that it holds back.

    Frames with the highest gain come first. Budgets are settings (`gazeloop settings`):
    `shortlist_budget` for the whole haystack; `budget_per_day`, `budget_per_vehicle` and
    `budget_per_family` for each day of capture.
    """
