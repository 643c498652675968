"""What `gazeloop migrate` does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import typer

from services.cli.console import console, styled
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.runtime.embedded import stack
from services.runtime.stores import migration
from services.runtime.stores.mongo import Database, connected
from services.runtime.stores.store_version import STORE_VERSION, require_version


def migrate(ctx: typer.Context, *, dry_run: bool, drop_old: bool) -> None:
    """Run `gazeloop migrate`."""
    context = shared(ctx)
    run(
        lambda: _plan(context) if dry_run else _migrate(context, drop_old=drop_old),
        interrupted="Run it again: it continues where it stopped.",
    )


async def _plan(context: Context) -> None:
    async with _opened(context) as database:
        counts = await migration.planned(database)
        if counts is None:
            await _say_current(database)
            await _say_left(database)
            return
        _print_counts("to migrate", counts)


async def _migrate(context: Context, *, drop_old: bool) -> None:
    out = console()
    async with _opened(context) as database:
        if not await migration.migrate(database, _print_progress):
            await _say_current(database)
        else:
            out.print(f"The stores are of version {STORE_VERSION} now.")
        await _say_left(database)
        if drop_old:
            dropped = await migration.drop_old(database)
            out.print(f"dropped: {', '.join(dropped) or 'nothing'}", highlight=False)


async def _say_current(database: Database) -> None:
    await require_version(database)
    console().print(f"Nothing to migrate: the stores are of version {STORE_VERSION}.")


async def _say_left(database: Database) -> None:
    left = await migration.unmigrated(database)
    if left:
        text = styled(
            "[yellow]{:,} frames cannot be read, and stay in {}:[/] the log names them. Correct"
            " them there and run this again, or erase them.",
            left,
            migration.OLD_FRAMES,
        )
        console().print(text)


@asynccontextmanager
async def _opened(context: Context) -> AsyncIterator[Database]:
    settings = context.stored()
    log_to_file(settings, "migrate")
    async with AsyncExitStack() as closing:
        if not settings.mongodb:
            addresses = await closing.enter_async_context(stack.joined(settings))
            settings = addresses.applied_to(settings)
        yield await closing.enter_async_context(connected(settings))


def _print_counts(title: str, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        console().print(f"{name}: {count:,} documents {title}", highlight=False)


def _print_progress(progress: migration.Progress) -> None:
    unreadable = f", {progress.unreadable:,} unreadable" if progress.unreadable else ""
    console().print(
        f"{progress.step}: {progress.done:,} of {progress.total:,} frames{unreadable}",
        highlight=False,
    )
