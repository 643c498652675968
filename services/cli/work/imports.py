"""What `gazeloop imports` does."""

from collections.abc import Sequence

import typer
from rich.table import Table

from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.domain.ports.imports import ImportSummary, Part


def list_imports(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop imports list`."""
    context = shared(ctx)
    found = run(lambda: _read(context), interrupted="The imports were not read.")
    if as_json:
        print_json([_document(summary) for summary in found])
        return
    table = Table(box=None, header_style="dim")
    for title in ("id", "kind", "name", "by", "at, UTC"):
        table.add_column(title)
    for part in Part:
        table.add_column(part.value.replace("_", " "), justify="right")
    table.add_column("undone")
    for summary in found:
        the_run = summary.run
        table.add_row(
            the_run.import_id,
            the_run.kind,
            the_run.name,
            the_run.by,
            f"{the_run.at:%Y-%m-%d %H:%M}",
            *(f"{summary.counts.get(part, 0):,}" for part in Part),
            f"{summary.undone_at:%Y-%m-%d %H:%M}" if summary.undone_at else "",
        )
    console().print(table if found else "no imports")


def _document(summary: ImportSummary) -> dict[str, object]:
    the_run = summary.run
    return {
        "import_id": the_run.import_id,
        "kind": the_run.kind.value,
        "name": the_run.name,
        "by": the_run.by,
        "at": the_run.at.isoformat(),
        "counts": {part.value: summary.counts.get(part, 0) for part in Part},
        "undone_at": summary.undone_at and summary.undone_at.isoformat(),
    }


async def _read(context: Context) -> Sequence[ImportSummary]:
    async with opened(context.stored(), "imports") as app:
        return await app.stores.imports.all()
