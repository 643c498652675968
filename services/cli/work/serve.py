"""What `gazeloop up` and `gazeloop run` do."""

from collections.abc import Mapping
from dataclasses import replace

import typer
from rich.console import Console

from services.app.assembly import deployed, running, wanted_services
from services.app.parts import App
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.global_options import pairs
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.cli.serve_command import Service
from services.runtime.garbage import spare_long_lived_objects
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import until_signalled


def up(ctx: typer.Context, *, fill: list[str] | None) -> None:
    """Run `gazeloop up`."""
    context = shared(ctx)
    other = pairs(fill or [], "--fill")
    run(lambda: _up(context, other), interrupted="Start it again with `gazeloop up`.")


def run_service(ctx: typer.Context, service: Service) -> None:
    """Run `gazeloop run`."""
    context = shared(ctx)
    run(lambda: _run_service(context, service), interrupted="The service ended.")


async def _up(context: Context, fill: Mapping[str, str]) -> None:
    settings = context.settings()
    fill_settings = (
        replace(context, overrides={**context.overrides, **fill}).settings() if fill else None
    )
    out = console()
    log_to_file(settings, "gazeloop")
    out.print(f"starting on {settings.data}", highlight=False)
    async with running(settings, wanted_services(settings), fill_settings=fill_settings) as app:
        warn_of_memory_broker(out, app.settings)
        print_addresses(out, app)
        spare_long_lived_objects()
        await until_signalled()
        out.print("stopping", highlight=False)


async def _run_service(context: Context, service: Service) -> None:
    settings = context.settings()
    configure_logs(level=settings.log_level)
    async with deployed(settings, service):
        spare_long_lived_objects()
        await until_signalled()


def print_addresses(out: Console, app: App) -> None:
    """Print the addresses for people, vehicles and Prometheus."""
    for name, address in app.addresses.items():
        out.print(f"  {name:<12} {address}", highlight=False, soft_wrap=True)
    if "review" in app.addresses:
        command = f"gazeloop --data {app.settings.data} tokens create annotation:NAME"
        out.print(
            f"For the review page, `{command}` makes a token.", highlight=False, soft_wrap=True
        )
    out.print("Ctrl-C stops it.", highlight=False)
