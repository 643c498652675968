"""What `gazeloop restore` does."""

import typer

from services.app.backup.backups import Backups
from services.app.backup.places import open_backups
from services.app.backup.restoring import Restored, restoring
from services.app.first_names import first_names
from services.cli.console import console, print_stage, styled
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings

_NAMED = 10


def restore(ctx: typer.Context, source: str, *, name: str) -> None:
    """Run `gazeloop restore`."""
    context = shared(ctx)
    done = run(
        lambda: _restore(context, open_backups(source), name),
        interrupted="Run the same command again: it goes on. No service starts before.",
    )
    conclude(done, context.settings())


async def _restore(context: Context, folder: Backups, name: str) -> Restored:
    manifest = folder.manifest(name)
    settings = context.settings()
    log_to_file(settings, "restore")
    async with restoring(settings) as stores:
        return await stores.restore(folder, manifest, SystemClock(), print_stage)


def conclude(done: Restored, settings: Settings) -> None:
    """Print what was restored.

    Raises
    ------
    typer.Exit
        Images are lost: all else was restored, but the command has not done all that it should.
    """
    out = console()
    out.print(f"restored {done.manifest.name}", highlight=False)
    if done.erased:
        out.print(f"{done.erased:,} frames were erased since, and are again", highlight=False)
    _print_offsets(done)
    if done.valid_tokens:
        text = styled(
            "[yellow]{:,} tokens are valid:[/] revoke those again that were revoked after the"
            " newest backup of this folder (`gazeloop tokens list`).",
            done.valid_tokens,
        )
        out.print(text)
    for setting, (before, now) in done.manifest.differing(settings).items():
        out.print(f"{setting} was {before}, and is {now} here", style="yellow", highlight=False)
    if done.lost_images:
        text = styled(
            "[yellow]{:,} images are missing from the backup, or damaged there:[/] {}. All else was"
            " restored. Send or import their frames again to store them.",
            len(done.lost_images),
            first_names(done.lost_images, _NAMED),
        )
        out.print(text)
        raise typer.Exit(1)


def _print_offsets(done: Restored) -> None:
    if done.goes_on:
        console().print("services go on from the backup's offsets", highlight=False)
        return
    text = styled(
        "[yellow]This is another broker than the backup's.[/] {:,} records were not processed"
        " yet, and what came later is not in the backup: publish it again.",
        done.manifest.cut.backlog,
    )
    console().print(text)
