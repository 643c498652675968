"""What `gazeloop retention` does."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import typer
from rich.table import Table

from services.app.retention.archiving import archive_cold_frames
from services.app.retention.cold_frames import all_cold
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.work.leaving import note_leaving
from services.cli.work.opened import opened
from services.formats.writers.tables import TableFormat
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.stores.retention_mongo import MongoRetention

_AT_ONCE = 1000


def show(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop retention show`."""
    context = shared(ctx)
    due = run(lambda: _due(context), interrupted="The frames were not counted.")
    settings = context.settings()
    days = _days(settings)
    if as_json:
        limits: dict[str, object] = {name: value or None for name, value in days.items()}
        until = settings.retain_until_archived
        print_json({"days": limits, "until_archived": until, "frames_due": due})
        return
    table = Table(box=None, header_style="dim")
    table.add_column("data")
    table.add_column("kept", justify="right")
    for name, value in days.items():
        table.add_row(name.replace("_", " "), f"for {value:g} days" if value else "for good")
    out = console()
    out.print(table)
    if days["unlisted_frames"]:
        after = " once an archive has them" if settings.retain_until_archived else ""
        out.print(f"{due:,} frames are due; ingest erases them{after}", highlight=False)


def archive(ctx: typer.Context, *, to: Path, form: Literal["parquet", "csv"]) -> None:
    """Run `gazeloop retention archive`."""
    context = shared(ctx)
    if not context.settings().retain_unlisted_days:
        raise typer.BadParameter("no frame is ever due: set GAZELOOP_RETAIN_UNLISTED_DAYS")
    written = run(
        lambda: _archive(context, to.absolute(), TableFormat(form)),
        interrupted="The folder is not complete; remove it and start again.",
    )
    for name, rows in written.items():
        console().print(f"{rows:,} rows in {name}", highlight=False)


def _days(settings: Settings) -> dict[str, float]:
    return {
        "unlisted_frames": settings.retain_unlisted_days,
        "images": settings.retain_images_days,
        "vectors_of_replaced_models": settings.retain_vectors_days,
        "imports": settings.retain_imports_days,
        "verdicts": settings.retain_verdicts_days,
        "figures": settings.retain_figures_days,
    }


async def _due(context: Context) -> int:
    settings = context.stored()
    if not settings.retain_unlisted_days:
        return 0
    before = SystemClock().now() - timedelta(days=settings.retain_unlisted_days)
    async with opened(settings, "retention") as app:
        store = MongoRetention(app.stores.database)
        pages = all_cold(store, settings.split_rule, before, _AT_ONCE)
        return sum([len(page) async for page in pages])


async def _archive(context: Context, to: Path, form: TableFormat) -> Mapping[str, int]:
    settings = context.stored()
    before = SystemClock().now() - timedelta(days=settings.retain_unlisted_days)
    async with opened(settings, "retention") as app:
        stores = app.stores
        await note_leaving(stores, to, what="cold frames", form=form.value)
        store = MongoRetention(stores.database)
        rule = settings.split_rule
        return await archive_cold_frames(store, stores.frames, rule, before, form=form, folder=to)
