"""What `gazeloop gate` does."""

import typer

from services.cli import compare_view
from services.cli.comparing import CompareOptions
from services.cli.console import console, print_json
from services.cli.context import shared
from services.cli.work.comparison import comparison


def gate(
    ctx: typer.Context,
    *,
    old: str,
    new: str,
    compare_options: CompareOptions,
    no_worse_than: float,
    most_broken: int | None,
    as_json: bool,
) -> None:
    """Run `gazeloop gate`."""
    report, left_out = comparison(shared(ctx), old, new, compare_options)
    reasons = [*report.objections(no_worse_than, most_broken), *left_out]
    if as_json:
        compared = report.model_dump(mode="json")
        print_json({"passed": not reasons, "reasons": reasons, "comparison": compared})
    else:
        compare_view.print_gate(console(), report, reasons)
    if reasons:
        raise typer.Exit(1)
