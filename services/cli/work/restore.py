"""What `gazeloop restore` does."""

import typer

from services.app.backup.backups import Backups
from services.app.backup.places import open_backups
from services.app.backup.restoring import Restored, restoring
from services.cli.console import console, print_stage, styled
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings


def restore(ctx: typer.Context, source: str, *, name: str) -> None:
    """Run `gazeloop restore`."""
    context = shared(ctx)
    done = run(
        lambda: _restore(context, open_backups(source), name),
        interrupted="Run the same command again: it goes on. No service starts before.",
    )
    _print(done, context.settings())


async def _restore(context: Context, folder: Backups, name: str) -> Restored:
    manifest = folder.manifest(name)
    settings = context.settings()
    log_to_file(settings, "restore")
    async with restoring(settings) as stores:
        return await stores.restore(folder, manifest, SystemClock(), print_stage)


def _print(done: Restored, settings: Settings) -> None:
    out = console()
    cut = done.manifest.cut
    out.print(f"restored {done.manifest.name}", highlight=False)
    if done.erased:
        out.print(f"{done.erased:,} frames were erased since, and are again", highlight=False)
    if done.goes_on:
        out.print("services go on from the backup's offsets", highlight=False)
    else:
        text = styled(
            "[yellow]This is another broker than the backup's.[/] {:,} records were not processed"
            " yet, and what came later is not in the backup: publish it again.",
            cut.backlog,
        )
        out.print(text)
    for setting, (before, now) in done.manifest.differing(settings).items():
        out.print(f"{setting} was {before}, and is {now} here", style="yellow", highlight=False)
