"""Do what `gazeloop erase` is asked for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import typer
from rich.table import Table

from services.app.erasure.opening import Erasure, FrameChoice, opened_erasure
from services.cli.account import account
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.contracts.topics import TOPICS
from services.domain.ports.erasure import TombstoneStore
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings

_POLL_S = 0.5


@dataclass(frozen=True)
class _Erased:
    """What was found, and the services that have not confirmed yet."""

    frames: int
    counts: Mapping[str, int]
    awaited: Mapping[str, int]


def erase(
    ctx: typer.Context,
    *,
    frame: list[str] | None,
    drive: str,
    vehicle: str,
    reason: str,
    dry_run: bool,
    wait_s: float,
) -> None:
    """Erase the frames and print what was deleted."""
    if not (frame or drive or vehicle):
        raise typer.BadParameter("name what to erase: --frame, --drive or --vehicle")
    choice = FrameChoice(
        [FrameId(name) for name in frame or ()], DriveId(drive) or None, VehicleId(vehicle) or None
    )
    context = shared(ctx)
    done = run(
        lambda: _erase(context, choice, reason, dry_run=dry_run, wait_s=wait_s),
        interrupted="Run the same command again to finish.",
    )
    _print(done, context.settings(), dry_run=dry_run)


async def _erase(
    context: Context, choice: FrameChoice, reason: str, *, dry_run: bool, wait_s: float
) -> _Erased:
    settings = context.stored()
    log_to_file(settings, "erase")
    async with opened_erasure(settings) as opened:
        stores = opened.app.stores
        frame_ids = await choice.among(stores.frame_ids)
        if dry_run:
            return _Erased(len(frame_ids), await opened.eraser.preview(frame_ids), {})
        now = SystemClock().now()
        counts = await opened.erase(choice, frame_ids, account(), reason, now)
        return _Erased(len(frame_ids), counts, await _confirmed(opened, wait_s))


async def _confirmed(opened: Erasure, wait_s: float) -> Mapping[str, int]:
    """Wait for the services; returns those that have not confirmed in time."""
    tombstones: TombstoneStore = opened.app.stores.tombstones
    clock = SystemClock()
    end = clock.monotonic() + wait_s
    while True:
        awaited = await tombstones.awaited()
        if not awaited or clock.monotonic() >= end:
            return awaited
        await asyncio.sleep(_POLL_S)


def _print(done: _Erased, settings: Settings, *, dry_run: bool) -> None:
    out = console()
    table = Table(box=None, header_style="dim")
    table.add_column("what")
    table.add_column("would be deleted" if dry_run else "deleted", justify="right")
    for name, count in done.counts.items():
        table.add_row(name, f"{count:,}")
    out.print(table)
    if dry_run:
        out.print(f"{done.frames:,} frames; nothing was deleted.", highlight=False)
        return
    out.print(f"{done.frames:,} frames are erased.", highlight=False)
    for service, frames in done.awaited.items():
        out.print(
            f"[yellow]{service} has yet to erase what it holds of {frames:,} frames;[/]"
            " it does once it runs.",
            highlight=False,
        )
    _print_retention(settings)


def _print_retention(settings: Settings) -> None:
    kept = sorted({settings.retention_days_of(topic.name) for topic in TOPICS})
    days = " to ".join(f"{number:g}" for number in kept[:1] + kept[1:][-1:])
    console().print(
        f"[dim]Kafka's topics keep their records of them for {days} days at most"
        " (docs/privacy.md).[/]",
        highlight=False,
    )
