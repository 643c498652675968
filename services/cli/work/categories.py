"""What `gazeloop categories` does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from services.app.categories.changing import apply_change, match_again
from services.cli.account import account
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.domain.ports.category_maps import MapScope, StoredMap, UnknownCategory
from services.formats.category_map_files import read_category_map
from services.ground_truth.category_changes import (
    CategoryChange,
    parsed_names,
    parsed_scope,
)
from services.runtime.clock import SystemClock

_Shown = tuple[Sequence[StoredMap], Sequence[UnknownCategory]]


def show(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop categories show`."""
    context = shared(ctx)
    maps, unknown = run(lambda: _read(context), interrupted="The maps were not read.")
    if as_json:
        documents = [_document(stored) for stored in maps]
        print_json({"maps": documents, "unknown": [asdict(item) for item in unknown]})
        return
    _print_maps(maps)
    _print_unknown(unknown)


def map_names(ctx: typer.Context, detector: str, names: list[str], category: str) -> None:
    """Run `gazeloop categories map`."""
    _change(ctx, detector, dict.fromkeys(names, category))


def ignore(ctx: typer.Context, detector: str, names: list[str]) -> None:
    """Run `gazeloop categories ignore`."""
    _change(ctx, detector, dict.fromkeys(names))


def load(ctx: typer.Context, detector: str, file: Path) -> None:
    """Run `gazeloop categories load`."""
    try:
        names = read_category_map(file)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="FILE") from exc
    _change(ctx, detector, names)


def unmap(ctx: typer.Context, detector: str, names: list[str]) -> None:
    """Run `gazeloop categories unmap`."""
    _change(ctx, detector, {}, [Category(name) for name in names])


def rematch(ctx: typer.Context, detector: str) -> None:
    """Run `gazeloop categories rematch`."""
    with _refused():
        scope = parsed_scope(detector)
    context = shared(ctx)
    again = run(
        lambda: _match_again(context, scope),
        interrupted="Ingest goes on with matching the frames again.",
    )
    _print_matched_again(again)


def _change(
    ctx: typer.Context,
    detector: str,
    names: Mapping[Any, str | None],
    dropped: Sequence[Category] = (),
) -> None:
    with _refused():
        change = CategoryChange(parsed_scope(detector), parsed_names(names), dropped)
    context = shared(ctx)
    changed, again, is_known = run(
        lambda: _store(context, change),
        interrupted="If the map was stored, ingest goes on with matching the frames again.",
    )
    out = console()
    out.print(
        f"the map of {change.scope} is {'changed' if changed else 'as it was'}",
        highlight=False,
    )
    if again:
        _print_matched_again(again)
    if not is_known:
        text = f"no predictions of {change.scope} are stored: its map counts once they come"
        out.print(text, style="yellow", highlight=False)


@contextmanager
def _refused() -> Iterator[None]:
    """Refuse what cannot be parsed as wrong usage."""
    try:
        yield
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc)) from exc


def _print_matched_again(frames: int) -> None:
    console().print(
        f"{frames:,} frames' predictions are published to be matched again; running services"
        " follow, others do once they run",
        highlight=False,
    )


async def _store(context: Context, change: CategoryChange) -> tuple[bool, int, bool]:
    """Store it; returns too whether predictions of its detector are stored."""
    async with opened(context.settings(), "categories") as app:
        done = await apply_change(app, change, account(), SystemClock().now())
        made, _ = await app.stores.frames.predictions_after(change.scope, "", 1)
        return *done, bool(made)


async def _match_again(context: Context, scope: MapScope) -> int:
    async with opened(context.settings(), "categories") as app:
        return await match_again(app, scope, account(), SystemClock().now())


async def _read(context: Context) -> _Shown:
    async with opened(context.stored(), "categories") as app:
        maps = app.stores.category_maps
        return await maps.all(), await maps.unknown()


def _document(stored: StoredMap) -> dict[str, object]:
    return {
        "detector": stored.scope,
        "names": dict(stored.map.names),
        "revision": stored.map.revision,
        "changed_by": stored.changed_by,
        "changed_at": stored.changed_at.isoformat(),
    }


def _print_maps(maps: Sequence[StoredMap]) -> None:
    table = Table(box=None, header_style="dim")
    for title in ("detector", "predicted as", "stands for", "by"):
        table.add_column(title)
    for stored in maps:
        for name, target in stored.map.names.items():
            stands_for = Text("ignored", style="dim") if target is None else target
            table.add_row(stored.scope, name, stands_for, stored.changed_by)
    console().print(table if table.row_count else "no names are mapped")


def _print_unknown(unknown: Sequence[UnknownCategory]) -> None:
    if not unknown:
        return
    out = console()
    out.print("\nPredicted, but neither annotated nor mapped:", style="yellow")
    table = Table(box=None, header_style="dim")
    table.add_column("detector")
    table.add_column("category")
    table.add_column("frames", justify="right")
    for item in unknown:
        frames = f"{'at least ' if item.at_least else ''}{item.frames:,}"
        table.add_row(item.detector, item.category, frames)
    out.print(table)
    out.print("`gazeloop categories map`, or `ignore`, answers them once.", style="dim")
