"""What `gazeloop doctor` does."""

import json
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from services.app.doctor.bounds import BOUNDS, settings_of
from services.app.doctor.examining import examine
from services.app.doctor.finding import Finding
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.runtime.clock import SystemClock
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(ctx: typer.Context, *, strict: bool, model: bool, bounds: bool, as_json: bool) -> None:
    """Run `gazeloop doctor`."""
    context = shared(ctx)
    if bounds:
        _show_bounds(context.settings(), as_json=as_json)
        return
    found = run(lambda: _examine(context, model=model), interrupted="The check is incomplete.")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show(found)
    bad = {"error", "warning"} if strict else {"error"}
    if any(finding.level in bad for finding in found):
        raise typer.Exit(1)


def _show_bounds(settings: Settings, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(item) | {"settings": settings_of(item, settings)} for item in BOUNDS])
        return
    table = Table(box=None, header_style="dim")
    for name in ("part", "what grows", "with every", "bound", "settings"):
        table.add_column(name, overflow="fold")
    for item in BOUNDS:
        names = ", ".join(item.names)
        values = "\n".join(f"{k} = {v}" for k, v in settings_of(item, settings).items())
        table.add_row(item.part, names, item.grows_by, item.bound, values)
    console().print(table)


async def _examine(context: Context, *, model: bool) -> list[Finding]:
    configure_logs(level="DEBUG" if context.debug else "ERROR")
    return await examine(context.settings(), SystemClock(), model=model)


def _show(found: list[Finding]) -> None:
    out = console()
    for finding in found:
        level = f"{finding.level:<8}", _COLOURS[finding.level]
        out.print(Text.assemble(level, f" {finding.part:<12} {finding.what}"), soft_wrap=True)
        if finding.remedy:
            out.print(f"{'':22}{finding.remedy}", style="dim", highlight=False, soft_wrap=True)
