"""What `gazeloop shortlists` does."""

from dataclasses import replace

import typer
from pydantic import TypeAdapter
from rich.table import Table

from services.annotation.ports.needle_filters import NeedleFilter, Stage
from services.annotation.stores.opening import open_annotation_stores
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.needle_options import NeedleOptions
from services.cli.tag_options import TagOptions
from services.cli.work.needle_rows import NeedlePage, print_needles, read_needles
from services.cli.work.opened import opened
from services.cli.work.shortlist_documents import shortlist_documents
from services.domain.metrics.slice_pairs import Tag
from services.domain.ports.budget_reports import MEANINGS, BudgetReport


def list_shortlists(
    ctx: typer.Context, *, needles: NeedleOptions, frames: TagOptions, most: int, as_json: bool
) -> None:
    """Run `gazeloop shortlists list`."""
    context, wanted = shared(ctx), needles.filter()
    wanted = replace(wanted, stage=wanted.stage or Stage.LISTED)
    tags = frames.tags()
    if tags and not as_json:
        raise typer.BadParameter("needs --json, which names frames", param_hint="--tag")
    if as_json:
        print_json(run(lambda: _details(context, wanted, tags), interrupted="Nothing was changed."))
        return
    page = run(lambda: _listed(context, wanted, most), interrupted="Nothing was changed.")
    print_needles(page, "No shortlist matches.")


async def _listed(context: Context, wanted: NeedleFilter, most: int) -> NeedlePage:
    async with opened(context.stored(), "shortlists") as app:
        stores = await open_annotation_stores(app.stores)
        return await read_needles(stores.needle_lists, wanted, most)


async def _details(
    context: Context, wanted: NeedleFilter, tags: frozenset[Tag]
) -> list[dict[str, object]]:
    async with opened(context.stored(), "shortlists") as app:
        stores = await open_annotation_stores(app.stores)
        return await shortlist_documents(stores, wanted, tags)


def held_back(ctx: typer.Context, *, most: int, as_json: bool) -> None:
    """Run `gazeloop shortlists held-back`."""
    context = shared(ctx)
    reports = run(lambda: _read(context), interrupted="Nothing was changed.")
    if as_json:
        print_json(TypeAdapter(list[BudgetReport]).dump_python(list(reports), mode="json"))
    elif not reports:
        console().print("No shortlists were planned here yet.", highlight=False)
    else:
        for report in reports:
            print_budgets(report, most)


async def _read(context: Context) -> list[BudgetReport]:
    async with opened(context.stored(), "shortlists") as app:
        return await app.stores.budgets.all()


def print_budgets(report: BudgetReport, most: int) -> None:
    """Print a detector's budgets and the first frames that they hold back."""
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
