"""`gazeloop doctor`: check a deployment, and print a remedy for every problem."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from services.cli.context import Context, console, example, run, shared

if TYPE_CHECKING:
    from services.app.doctor.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}
EPILOG = example("doctor", "doctor --strict --json")


def doctor(
    ctx: typer.Context,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    model: Annotated[
        bool,
        typer.Option(
            "--model/--no-model",
            help="Load the embedder's weights, to compare its model with the live one.",
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a deployment: connections, topic configuration, permissions, clocks, models.

    Each finding comes with its remedy. Exits with 1 if there is an error.
    """
    context = shared(ctx)
    found = run(lambda: _examine(context, model=model), interrupted="The check is incomplete.")
    if as_json:
        import json  # noqa: PLC0415
        from dataclasses import asdict  # noqa: PLC0415

        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show(found)
    bad = {"error", "warning"} if strict else {"error"}
    if any(finding.level in bad for finding in found):
        raise typer.Exit(1)


async def _examine(context: Context, *, model: bool) -> "list[Finding]":
    from services.app.doctor.examining import examine  # noqa: PLC0415  # slow
    from services.runtime.clock import SystemClock  # noqa: PLC0415
    from services.runtime.observability.logs import configure_logs  # noqa: PLC0415

    configure_logs(level="DEBUG" if context.debug else "ERROR")
    return await examine(context.settings(), SystemClock(), model=model)


def _show(found: "list[Finding]") -> None:
    out = console()
    for finding in found:
        colour = _COLOURS[finding.level]
        out.print(
            f"[{colour}]{finding.level:<8}[/] {finding.part:<12} {escape(finding.what)}",
            soft_wrap=True,
        )
        if finding.remedy:
            out.print(f"{'':22}[dim]{escape(finding.remedy)}[/]", soft_wrap=True)
