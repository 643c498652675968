"""What `gazeloop frames` does."""

import typer
from rich.table import Table

from services.annotation.stores.opening import open_annotation_stores
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.work.frame_view import FrameView, print_frame, print_frame_json, read_frame
from services.cli.work.opened import opened
from services.runtime.stores.frame_ids_mongo import LeftOut

_EVERY = 1_000_000


def show(ctx: typer.Context, frame: str, *, as_json: bool) -> None:
    """Run `gazeloop frames show`."""
    context = shared(ctx)
    found = run(lambda: _show(context, frame), interrupted="Nothing was changed.")
    if as_json:
        print_frame_json(found)
    else:
        print_frame(found)


async def _show(context: Context, frame: str) -> FrameView:
    async with opened(context.stored(), "frames") as app:
        return await read_frame(await open_annotation_stores(app.stores), frame)


def not_counted(ctx: typer.Context, *, most: int, as_json: bool) -> None:
    """Run `gazeloop frames not-counted`."""
    context = shared(ctx)
    limit = _EVERY if as_json else most + 1
    found = run(lambda: _read(context, limit), interrupted="Nothing was changed.")
    if as_json:
        print_json([item._asdict() for item in found])
    elif not found:
        console().print("Every frame that has predictions and ground truth counts.")
    else:
        print_not_counted(found, most)


async def _read(context: Context, limit: int) -> list[LeftOut]:
    async with opened(context.stored(), "frames") as app:
        return await app.stores.frame_ids.left_out(limit)


def print_not_counted(found: list[LeftOut], most: int) -> None:
    """Print the first frames that do not count, and why."""
    table = Table(box=None, header_style="dim")
    for heading in ("frame", "why"):
        table.add_column(heading, overflow="fold")
    for item in found[:most]:
        table.add_row(item.frame_id, reasons(item))
    console().print(table)
    if len(found) > most:
        console().print("… and more: `--most`, or `--json` for all", highlight=False)


def reasons(frame: LeftOut) -> str:
    """Describe why a frame does not count."""
    found = [
        f"detections of {partial_prediction} were refused"
        for partial_prediction in frame.partial_predictions
    ]
    if frame.partial_ground_truth:
        found.insert(0, "annotations were refused")
    if frame.original is not None:
        found.append(f"a copy of {frame.original}")
    return "; ".join(found)
