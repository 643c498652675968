"""What `gazeloop shortlists` does."""

from collections.abc import Sequence

import typer
from pydantic import TypeAdapter
from rich.table import Table

from services.app.parts import joined
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.runtime.stores.budget_reports import MEANINGS, BudgetReport


def held_back(ctx: typer.Context, *, most: int, as_json: bool) -> None:
    """Run `gazeloop shortlists held-back`."""
    context = shared(ctx)
    reports = run(lambda: _read(context), interrupted="Nothing was changed.")
    if as_json:
        _print_json(reports)
    elif not reports:
        console().print("No shortlists were planned here yet.", highlight=False)
    else:
        for report in reports:
            _print(report, most)


async def _read(context: Context) -> list[BudgetReport]:
    settings = context.stored()
    log_to_file(settings, "shortlists")
    async with joined(settings) as app_:
        return await app_.stores.budgets.all()


def _print_json(reports: Sequence[BudgetReport]) -> None:
    typer.echo(TypeAdapter(list[BudgetReport]).dump_json(list(reports), indent=2).decode())


def _print(report: BudgetReport, most: int) -> None:
    table = Table(box=None, title=report.detector, title_justify="left")
    for heading in ("budget", "frames", "spent", "held back"):
        table.add_column(heading, justify="left" if heading == "budget" else "right")
    for budget, size in report.sizes.items():
        counts = (size, report.spent[budget], report.held_back[budget])
        table.add_row(MEANINGS[budget], *map(str, counts))
    console().print(table)
    shown = report.frames[:most]
    if shown:
        console().print(_frames(report, most))
    left = sum(report.held_back.values()) - len(shown)
    if left:
        console().print(f"{left} more (--most, --json)", highlight=False)


def _frames(report: BudgetReport, most: int) -> Table:
    table = Table(box=None, title="held back", title_justify="left")
    for heading in (
        "frame",
        "vehicle",
        "day",
        "taken for",
        "error",
        "family",
        "evidence",
        "budget",
    ):
        table.add_column(heading, overflow="fold")
    for frame in report.frames[:most]:
        table.add_row(
            frame.frame_id,
            frame.vehicle_id,
            f"{frame.captured_at:%Y-%m-%d}",
            frame.category,
            f"{frame.error}, really {frame.taken_for}" if frame.taken_for else frame.error,
            frame.family[:8],
            f"{frame.evidence:.2f}",
            frame.budget.value,
        )
    return table
