"""What `gazeloop compare` does."""

import typer

from services.cli import compare_view
from services.cli.comparing import CompareOptions
from services.cli.console import console
from services.cli.context import shared
from services.cli.work.comparison import comparison


def compare(
    ctx: typer.Context, *, old: str, new: str, compare_options: CompareOptions, as_json: bool
) -> None:
    """Run `gazeloop compare`."""
    report, left_out = comparison(shared(ctx), old, new, compare_options)
    if as_json:
        print(report.model_dump_json(indent=2))  # noqa: T201  # to be piped
    else:
        compare_view.print_comparison(console(), report)
    if left_out:
        raise typer.Exit(1)
