"""What `gazeloop undo` does."""

from collections.abc import Mapping

import typer
from rich.table import Table

from services.app.undoing.requesting import undo_now, undoer_of
from services.app.undoing.undoer import LASTING, Effect
from services.cli.account import account
from services.cli.console import console, styled
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.errors import InvalidRecord
from services.contracts.identity import DetectorId, ImportId, detector_id
from services.domain.ports.category_maps import MapScope
from services.domain.ports.imports import ImportKind, Undo
from services.formats.items import Detector
from services.runtime.clock import SystemClock
from services.runtime.stores.opening import Stores


def undo(
    ctx: typer.Context,
    import_id: str | None,
    *,
    detector: str | None,
    keep_annotations: bool,
    dry_run: bool,
) -> None:
    """Run `gazeloop undo`."""
    if (import_id is None) == (detector is None):
        raise typer.BadParameter("name either an import's ID or a --detector")
    target, now = _target(import_id, detector), SystemClock().now()
    wanted = Undo(target, account(), now, keeps=keep_annotations)
    context = shared(ctx)
    done = run(
        lambda: _undo(context, wanted, dry_run=dry_run),
        interrupted="Run the same command again to finish.",
    )
    if done is None:
        _print_unknown(import_id, detector)
        raise typer.Exit(1)
    if isinstance(done, Undo):
        console().print(
            f"{done.by} undid it at {done.at:%Y-%m-%d %H:%M} (UTC): nothing of it is left to take"
            " back.",
            highlight=False,
        )
        return
    _print(done, dry_run=dry_run)


def _print_unknown(import_id: str | None, detector: str | None) -> None:
    nothing = f"no import has the id {import_id}"
    if detector is not None:
        nothing = f"no predictions of {detector} are stored"
    console(stderr=True).print(
        styled(
            "[bold red]Error:[/] {}\n"
            "[dim]`gazeloop imports list` and `gazeloop report` show them.[/]",
            nothing,
        )
    )


def _target(import_id: str | None, detector: str | None) -> ImportId:
    if detector is None:
        return ImportId(str(import_id))
    try:
        named = Detector.parse(detector)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="--detector") from exc
    return ImportId(detector_id(named.name, named.version))


async def _undo(
    context: Context, wanted: Undo, *, dry_run: bool
) -> Mapping[Effect, int] | Undo | None:
    """Undo; returns the counts, an earlier undo that left nothing, or None for what is unknown."""
    async with opened(context.stored(), "undo") as app:
        stores = app.stores
        found = await stores.imports.run(ImportId(wanted.target))
        if found is None and not await _has_predicted(stores, wanted.target):
            return None
        if wanted.keeps and (found is None or found.kind is not ImportKind.CAMPAIGN):
            detail = "only a campaign of `sample draw` has annotations apart from it to keep"
            raise typer.BadParameter(detail, param_hint="--keep-annotations")
        counts = await undoer_of(stores, app.outbox).preview(wanted)
        earlier = await stores.imports.undo_of(wanted.target)
        unfinished = {undo.target for undo in await stores.imports.unfinished()}
        if earlier and wanted.target not in unfinished and not counts.keys() - LASTING:
            return earlier
        if not dry_run:
            await undo_now(app, wanted)
        return counts


async def _has_predicted(stores: Stores, target: ImportId | DetectorId) -> bool:
    if "@" not in target:
        return False
    made, _ = await stores.frames.predictions_after(MapScope(target), "", 1)
    return bool(made)


def _print(counts: Mapping[Effect, int], *, dry_run: bool) -> None:
    out = console()
    table = Table(box=None, header_style="dim")
    table.add_column("what")
    table.add_column("parts", justify="right")
    for effect in Effect:
        if counts.get(effect):
            table.add_row(effect.value, f"{counts[effect]:,}")
    out.print(table if table.row_count else "there is nothing to undo")
    if dry_run:
        out.print("Nothing was changed.")
    elif table.row_count:
        out.print("Running services follow; others do once they run.", highlight=False)
