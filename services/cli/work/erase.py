"""Do what `gazeloop erase` is asked for."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import typer
from rich.table import Table

from services.app.erasure.choosing import Chosen, FrameChoice
from services.app.erasure.eraser import Outcome
from services.app.erasure.opening import Erasure, opened_erasure
from services.app.first_names import first_names
from services.cli.account import account
from services.cli.console import console, styled
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.ports.erasure import OutsideCopy, TombstoneStore
from services.runtime.clock import SystemClock

_POLL_S = 0.5
_NAMED = 10


@dataclass(frozen=True)
class _Erased:
    """What was found, and the services that have not confirmed yet."""

    chosen: Chosen
    outcome: Outcome
    awaited: Mapping[str, int]


def erase(
    ctx: typer.Context,
    *,
    frame: list[str] | None,
    drive: str | None,
    vehicle: str | None,
    reason: str,
    dry_run: bool,
    wait_s: float,
) -> None:
    """Erase the frames and print what was deleted."""
    try:
        choice = FrameChoice.parsed(frame or (), drive, vehicle)
    except InvalidRecord as exc:
        raise typer.BadParameter(f"{exc}: --frame, --drive or --vehicle") from exc
    context = shared(ctx)
    done = run(
        lambda: _erase(context, choice, reason, dry_run=dry_run, wait_s=wait_s),
        interrupted="Run the same command again to finish.",
    )
    _print(done, dry_run=dry_run)


async def _erase(
    context: Context, choice: FrameChoice, reason: str, *, dry_run: bool, wait_s: float
) -> _Erased:
    settings = context.stored()
    log_to_file(settings, "erase")
    async with opened_erasure(settings) as opened:
        chosen = await opened.chosen(choice)
        if dry_run:
            return _Erased(chosen, await opened.eraser.preview(chosen.frame_ids), {})
        now = SystemClock().now()
        outcome = await opened.erase(choice, chosen.frame_ids, account(), reason, now)
        return _Erased(chosen, outcome, await _confirmed(opened, wait_s))


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


def _print(done: _Erased, *, dry_run: bool) -> None:
    out = console()
    table = Table(box=None, header_style="dim")
    table.add_column("what")
    table.add_column("would be deleted" if dry_run else "deleted", justify="right")
    for name, count in done.outcome.counts.items():
        table.add_row(name, f"{count:,}")
    out.print(table)
    _print_copies(done.outcome.copies)
    frames = len(done.chosen.frame_ids)
    if dry_run:
        out.print(f"{frames:,} frames; nothing was deleted.", highlight=False)
    else:
        out.print(f"{frames:,} frames are erased.", highlight=False)
    _print_unknown(done.chosen.unknown)
    for service, frames in done.awaited.items():
        text = "[yellow]{} has yet to erase what it holds of {:,} frames;[/] it does once it runs."
        out.print(styled(text, service, frames))


def _print_unknown(unknown: Sequence[FrameId]) -> None:
    if not unknown:
        return
    named = first_names(unknown, _NAMED)
    console().print(
        styled(
            "[yellow]Nothing is stored of {:,} of them:[/] {}. Are the ids right? Events of these"
            " frames that still come are dropped.",
            len(unknown),
            named,
        ),
        soft_wrap=True,
    )


def _print_copies(copies: Sequence[OutsideCopy]) -> None:
    if not copies:
        return
    out = console()
    out.print("What stays, for you to delete (docs/privacy.md):", style="yellow", highlight=False)
    for copy in copies:
        named = "; ".join(copy.ids[:_NAMED])
        if len(copy.ids) > _NAMED:
            named += f" and {len(copy.ids) - _NAMED:,} more: `gazeloop audit`"
        line = f"  {copy.where}: {named}; {copy.remedy}"
        out.print(line, highlight=False, soft_wrap=True)
